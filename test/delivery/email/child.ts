/** Sends one mail to the port given, trusting what this process trusts, and prints how it ended. */
import { smtp } from '../../../src/delivery/email/index.ts';
import { message, openGuard, smtpConfig } from './world.ts';

const port = Number(process.argv[2]);
const ending = await smtp({ guard: openGuard(), allowedPorts: [port] }).send(message(), smtpConfig(port));
console.log(JSON.stringify(ending));

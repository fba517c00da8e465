/**
 * A process that delivers notifications until it is killed: `node child.ts <database url> <mailgun url> [sole]`. Says `ready`
 * when it has begun.
 */
import { endLeases, startNotifications } from '../../../src/delivery/index.ts';
import { openNode } from './node.ts';

const [url = '', mailgunUrl = '', sole = ''] = process.argv.slice(2);
const { options } = await openNode(url, mailgunUrl);
if (sole === 'sole') await endLeases(options.work);
const notifications = startNotifications({ ...options, concurrencyPerWorkspace: 16 });
await notifications.ready;
console.log('ready');

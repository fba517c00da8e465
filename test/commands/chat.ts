/** A client, its users and a room, on a node. */
import type { Actor, PostInput } from '../../src/commands/index.ts';
import type { Node } from './world.ts';

export interface Client {
  readonly workspace: number;
  /** `ck_live_...` */
  readonly key: string;
  readonly master: Actor;
  /** Creates a user of this name. */
  user(name: string): Promise<Actor>;
  /** Creates a group that the first of these owns; answers its number. */
  group(...members: Actor[]): Promise<number>;
}

/** Makes a client. */
export async function makeClient(node: Node): Promise<Client> {
  const { workspace, secret } = await node.clients.createClient({ name: 'Shop', description: null });
  const master: Actor = { workspace, account: 0 };
  return {
    workspace,
    key: secret,
    master,
    async user(name) {
      const input = { email: `${name}@example.com`, username: name, fullName: name.toUpperCase(), keyLifeMs: null };
      return { workspace, account: (await node.people.createUser(master, input)).account };
    },
    async group(...members) {
      const [owner = master] = members;
      const { room } = await node.rooms.create(owner, {
        kind: 'group',
        joinPolicy: 'open',
        members: members.map(({ account }, i) => ({ account, ...(i === 0 && { roles: ['owner'] as const }) })),
      });
      return room;
    },
  };
}

/** A text for a room. */
export function text(room: number, said: string, rest: Partial<PostInput> = {}): PostInput {
  return { room, body: { kind: 'text', text: said }, ...rest };
}

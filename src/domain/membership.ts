import { type EventData, SERVICE_ACCOUNT } from '../../schemas/index.ts';

/** What a member can be beyond a member. */
export type RoomRole = EventData<'MembershipStarted'>['roles'][number];

/** A member of a room. Times are milliseconds since the epoch. */
export interface Member {
  readonly account: number;
  /** Counts the memberships of the room from 1. */
  readonly membership: number;
  readonly roles: readonly RoomRole[];
  /** Messages from here on are shown. */
  readonly historyFrom: number;
  /** Messages up to here are hidden from this member. */
  readonly hiddenUntil: number;
  readonly joinedAt: number;
}

/** Members in the order of their accounts: found by halving, and cheap to copy however many they are. */
export type Members = readonly Member[];

/** The member that this account is, or undefined. */
export function memberOf(members: Members, account: number): Member | undefined {
  const found = members[placeOf(members, account)];
  return found?.account === account ? found : undefined;
}

/** With this member, in the place of what the account was before. */
export function withMember(members: Members, member: Member): Members {
  const place = placeOf(members, member.account);
  return members.toSpliced(place, members[place]?.account === member.account ? 1 : 0, member);
}

/** Without this account. */
export function withoutMember(members: Members, account: number): Members {
  return memberOf(members, account) ? members.toSpliced(placeOf(members, account), 1) : members;
}

/** True of a member who manages the room, and of the service account. */
export function mayManage(members: Members, account: number): boolean {
  return account === SERVICE_ACCOUNT || (memberOf(members, account)?.roles.length ?? 0) > 0;
}

/** Roles as events hold them: sorted, none twice. */
export function roleSetOf(roles: readonly RoomRole[]): RoomRole[] {
  return [...new Set(roles)].sort();
}

/** Where the account stands, or would. */
function placeOf(members: Members, account: number): number {
  let low = 0;
  let high = members.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((members[middle] as Member).account < account) low = middle + 1;
    else high = middle;
  }
  return low;
}

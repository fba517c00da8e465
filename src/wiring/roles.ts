/** What a process does (design section 9). */
export const roles = ['api', 'gateway', 'relay', 'projector', 'delivery'] as const;

export type Role = (typeof roles)[number];

/** What runs beside the requests, in a thread of its own where a process does both. */
const backgroundRoles: readonly Role[] = ['relay', 'projector', 'delivery'];

/** The roles that go to the background thread; none where there are no requests to keep them from. */
export function inBackground(all: ReadonlySet<Role>): ReadonlySet<Role> {
  const serves = all.has('api') || all.has('gateway');
  return new Set(serves ? backgroundRoles.filter((role) => all.has(role)) : []);
}

/** The roles of a comma list. Throws a TypeError of one line for what is none. */
export function readRoles(text: string): ReadonlySet<Role> {
  const named = text.split(',').map((word) => word.trim());
  const unknown = named.filter((word) => !roles.some((role) => role === word));
  if (unknown.length > 0) {
    throw new TypeError(
      `--roles takes some of ${roles.join(', ')}, comma-separated; not ${JSON.stringify(unknown[0])}`,
    );
  }
  return new Set(named as Role[]);
}

/** Whether a process does everything: then it may own its data alone. */
export function isWhole(all: ReadonlySet<Role>): boolean {
  return all.size === roles.length;
}

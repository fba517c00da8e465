import type { EventData } from '../../schemas/index.ts';

type Changes = Omit<EventData<'ProfileChanged'>, 'workspace' | 'account'>;

/** Who an account is to others; null where nothing was said. `avatar` is the number of a stored file. */
export type Profile = { readonly [K in keyof Changes]-?: Exclude<Changes[K], undefined> };

/** The fields that a command gives; null clears one. */
export type ProfileChanges = { readonly [K in keyof Profile]?: Profile[K] };

/** A profile of which nothing was said. */
export const emptyProfile: Profile = {
  displayName: null,
  givenName: null,
  familyName: null,
  job: null,
  bio: null,
  avatar: null,
};

/** The profile after a change: fields that are absent stay. */
export function changedProfile(profile: Profile, changes: Changes): Profile {
  const { displayName, givenName, familyName, job, bio, avatar } = changes;
  return {
    displayName: displayName === undefined ? profile.displayName : displayName,
    givenName: givenName === undefined ? profile.givenName : givenName,
    familyName: familyName === undefined ? profile.familyName : familyName,
    job: job === undefined ? profile.job : job,
    bio: bio === undefined ? profile.bio : bio,
    avatar: avatar === undefined ? profile.avatar : avatar,
  };
}

/** The fields that were given: an event holds no `undefined`. */
export function givenProfile(changes: ProfileChanges): ProfileChanges {
  return Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined));
}

/** Above those that systems give to people and services. Source: uid ranges of systemd. */
const firstId = 1_879_048_192;
/** User ids of a room: its users from 0 on. */
export const roomUserCount = 65_536;
/** Agents have at most so many rooms at a time. */
const maxRooms = 64;

/** The first user id of this machine that the room of a slot has, counted from 0. */
export function firstUserOf(slot: number): number {
  return firstId + slot * roomUserCount;
}

/** Of rooms that are made to see whether they can be: no slot has it. */
export const firstTrialUser = firstUserOf(maxRooms);

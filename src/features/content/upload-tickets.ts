import { createHmac, timingSafeEqual } from 'node:crypto';
import { type DigestAlgorithm, digestAlgorithms } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import type { Place } from './place.ts';

/** An upload session as its ticket tells it; most sessions never need a row of their own. */
export type UploadSession = {
  readonly uid: string;
  readonly algorithm: DigestAlgorithm;
  readonly startedMicros: number;
  readonly place: Place;
  /** Who began it. */
  readonly principalUid: string;
};

const pattern = /^([a-z2-7]{26})\.([0-9a-z]{1,12})\.([0-9])\.([A-Za-z0-9_-]{22})$/;
const macBytes = 16;

/**
 * Writes and reads the last path segment of an upload's `Location`: uid, start time and algorithm under a keyed hash that
 * also covers registry, repository and principal. A ticket of another place or person reads as an unknown upload.
 */
export class UploadTickets {
  readonly #key: Uint8Array;

  /** `key` is the same in every process of the installation. */
  constructor(key: Uint8Array) {
    this.#key = key;
  }

  write(session: UploadSession): string {
    const body = `${session.uid}.${session.startedMicros.toString(36)}.${digestAlgorithms.indexOf(session.algorithm)}`;
    return `${body}.${this.#mac(body, session.place, session.principalUid).toString('base64url')}`;
  }

  /** Throws `uploadUnknown`. */
  read(ticket: string, place: Place, principalUid: string): UploadSession {
    const [, uid, started, algorithmIndex, mac] = pattern.exec(ticket) ?? [];
    if (uid === undefined || started === undefined || mac === undefined) throw new BerthError('uploadUnknown');
    const algorithm = digestAlgorithms[Number(algorithmIndex)];
    const expected = this.#mac(`${uid}.${started}.${algorithmIndex}`, place, principalUid);
    if (algorithm === undefined || !timingSafeEqual(Buffer.from(mac, 'base64url'), expected)) {
      throw new BerthError('uploadUnknown');
    }
    return { uid, algorithm, startedMicros: Number.parseInt(started, 36), place, principalUid };
  }

  #mac(body: string, place: Place, principalUid: string): Buffer {
    const fields = [body, place.registryUid, place.repository, principalUid];
    const text = fields.map((field) => `${field.length}:${field}`).join('');
    return createHmac('sha256', this.#key).update(text).digest().subarray(0, macBytes);
  }
}

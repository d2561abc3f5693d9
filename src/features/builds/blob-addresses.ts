import { createHmac, timingSafeEqual } from 'node:crypto';
import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Ids } from '../../platform/ids.ts';

/** What an address may be used for, in the words of Azure Storage: to create and write, or to read. */
export type BlobPermission = 'cw' | 'r';

export type BlobAddressParts = {
  /** The same in every process of the installation. */
  readonly key: Uint8Array;
  readonly clock: Clock;
  readonly ids: Pick<Ids, 'guid'>;
};

/** The first segment of the paths of signed addresses. Clients want a container and a path in it. */
export const blobContainer = 'build-files';

const lifetimeSeconds = { cw: 3_600, r: 86_400 } as const;

/**
 * Signs addresses in the form of Azure Storage: whoever has one may do what it says with the one thing that it names, until
 * it ends. The signature covers permission, path and end, each with its length. Source: az wire document, 4.1.
 */
export class BlobAddresses {
  readonly #parts: BlobAddressParts;

  constructor(parts: BlobAddressParts) {
    this.#parts = parts;
  }

  /**
   * `path` begins with a slash. Answers the path with its query. Each address to read has an id, by which those who read the
   * same are told apart; it gives no right, and is not signed.
   */
  sign(path: string, permission: BlobPermission): string {
    const endSeconds = Math.floor(this.#parts.clock.nowMicros() / 1_000_000) + lifetimeSeconds[permission];
    const query = new URLSearchParams({
      sv: '2021-08-06',
      se: new Date(endSeconds * 1000).toISOString().replace('.000', ''),
      sr: 'b',
      sp: permission,
      ...(permission === 'r' ? { scid: this.#parts.ids.guid() } : {}),
      sig: this.#signature(path, permission, endSeconds).toString('base64url'),
    });
    return `${path}?${query}`;
  }

  /** Throws `blobAddressInvalid`. */
  verify(path: string, query: URLSearchParams, permission: BlobPermission): void {
    const endSeconds = Math.floor(Date.parse(query.get('se') ?? '') / 1000);
    const given = Buffer.from(query.get('sig') ?? '', 'base64url');
    const expected = this.#signature(path, permission, Number.isNaN(endSeconds) ? 0 : endSeconds);
    const isRight = given.length === expected.length && timingSafeEqual(given, expected);
    if (!isRight || query.get('sp') !== permission) throw new BerthError('blobAddressInvalid');
    if (endSeconds * 1_000_000 < this.#parts.clock.nowMicros()) throw new BerthError('blobAddressInvalid');
  }

  #signature(path: string, permission: BlobPermission, endSeconds: number): Buffer {
    const fields = [permission, path, String(endSeconds)];
    const text = fields.map((field) => `${field.length}:${field}`).join('');
    return createHmac('sha256', this.#parts.key).update(text).digest();
  }
}

import type { IncomingDigest } from './incoming-digest.ts';

const maxOpen = 1000;

/** The digests so far of uploads this process began, so that their end needs no second read. Losing one costs that read. */
export class OpenDigests {
  readonly #byUpload = new Map<string, IncomingDigest>();

  keep(uploadUid: string, digest: IncomingDigest): void {
    this.#byUpload.set(uploadUid, digest);
    if (this.#byUpload.size <= maxOpen) return;
    for (const oldest of this.#byUpload.keys()) {
      this.#byUpload.delete(oldest);
      return;
    }
  }

  /** The digest of exactly the first `sizeBytes` of an upload, handed over: it is no longer kept here. */
  take(uploadUid: string, sizeBytes: number): IncomingDigest | undefined {
    const digest = this.#byUpload.get(uploadUid);
    this.#byUpload.delete(uploadUid);
    return digest?.sizeBytes === sizeBytes ? digest : undefined;
  }
}

import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { emptyAnswer, type StoreAnswer } from '../resumed-read.ts';
import { isBareMissing, isMissing, orMissing } from './s3-fault.ts';

/** How the store encrypts what it keeps. */
export type S3Encryption = {
  readonly algorithm: 'AES256' | 'aws:kms';
  /** Of `aws:kms`; the bucket's own key when absent. */
  readonly kmsKeyId: string | undefined;
};

export type S3BucketOptions = {
  readonly client: S3Client;
  readonly bucket: string;
  readonly encryption: S3Encryption | undefined;
};

export type ObjectEntry = { readonly name: string; readonly sizeBytes: number; readonly modifiedMicros: number };
export type UploadEntry = { readonly name: string; readonly uploadId: string; readonly begunMicros: number };
/** A part of a multipart upload, as the store knows it. */
export type ObjectPart = { readonly number: number; readonly etag: string; readonly sizeBytes: number };
/** What completing an upload takes of a part; the checksum is its CRC-32 in base64. */
export type NamedPart = { readonly number: number; readonly etag: string; readonly checksum: string };

const removeBatch = 1_000;

/**
 * The requests of S3 that the store makes, on one bucket. Bytes that are sent carry their CRC-32, which the service checks. What is
 * not there throws BlobMissing where a caller needs it, and is `undefined` where it asks.
 * Source: Amazon S3 API reference.
 */
export class S3Bucket {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #encryption: { ServerSideEncryption?: 'AES256' | 'aws:kms'; SSEKMSKeyId?: string };

  constructor({ client, bucket, encryption }: S3BucketOptions) {
    this.#client = client;
    this.#bucket = bucket;
    this.#encryption = encryption === undefined ? {} : encryptionOf(encryption);
  }

  /** Resolves to the object's ETag. */
  async put(name: string, bytes: Uint8Array): Promise<string> {
    const input = { ...this.#at(name), ...this.#encryption, Body: bytes, ChecksumCRC32: checksumOf(bytes) };
    return etagOf(await this.#client.send(new PutObjectCommand(input)));
  }

  /** The bytes from `start` to before `end`; none where the object ends before `start`. Throws BlobMissing. */
  async get(name: string, start: number, end: number | undefined): Promise<StoreAnswer> {
    // An empty object has no range at all.
    const isWhole = start === 0 && end === undefined;
    const range = isWhole ? {} : { Range: `bytes=${start}-${end === undefined ? '' : end - 1}` };
    try {
      const { Body, ContentLength } = await this.#client.send(new GetObjectCommand({ ...this.#at(name), ...range }));
      if (!(Body instanceof Readable)) throw new Error('the answer of the store has no body');
      return { bytes: Body, lengthBytes: ContentLength };
    } catch (cause) {
      if (isFault(cause, 'InvalidRange')) return emptyAnswer();
      throw orMissing(cause);
    }
  }

  async sizeOf(name: string): Promise<number | undefined> {
    try {
      const { ContentLength } = await this.#client.send(new HeadObjectCommand(this.#at(name)));
      return ContentLength ?? 0;
    } catch (cause) {
      if (isMissing(cause) || isBareMissing(cause)) return undefined;
      throw cause;
    }
  }

  /** Copies inside the bucket, if the source is still the one with this ETag. Throws BlobMissing. */
  async copy(from: string, etag: string, to: string): Promise<void> {
    const source = { CopySource: this.#source(from), CopySourceIfMatch: etag };
    await missing(this.#client.send(new CopyObjectCommand({ ...this.#at(to), ...this.#encryption, ...source })));
  }

  async removeMany(names: readonly string[]): Promise<void> {
    for (let start = 0; start < names.length; start += removeBatch) {
      const Objects = names.slice(start, start + removeBatch).map((Key) => ({ Key }));
      const command = new DeleteObjectsCommand({ Bucket: this.#bucket, Delete: { Objects, Quiet: true } });
      const { Errors = [] } = await this.#client.send(command);
      const [first] = Errors.filter(({ Code }) => Code !== 'NoSuchKey');
      if (first !== undefined) throw new Error(`the store did not remove ${first.Key}: ${first.Code} ${first.Message}`);
    }
  }

  async *list(prefix: string): AsyncGenerator<ObjectEntry> {
    let token: string | undefined;
    do {
      const command = new ListObjectsV2Command({ Bucket: this.#bucket, Prefix: prefix, ContinuationToken: token });
      const page = await this.#client.send(command);
      for (const { Key, Size = 0, LastModified } of page.Contents ?? [])
        if (Key !== undefined) yield { name: Key, sizeBytes: Size, modifiedMicros: microsOf(LastModified) };
      token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  async createUpload(name: string): Promise<string> {
    const input = { ...this.#at(name), ...this.#encryption, ChecksumAlgorithm: 'CRC32' } as const;
    const { UploadId } = await this.#client.send(new CreateMultipartUploadCommand(input));
    if (UploadId === undefined) throw new Error('the store began an upload without an id');
    return UploadId;
  }

  /** Throws BlobMissing when the upload is gone. */
  async putPart(name: string, uploadId: string, number: number, bytes: Uint8Array): Promise<NamedPart> {
    const checksum = checksumOf(bytes);
    const place = { ...this.#at(name), UploadId: uploadId, PartNumber: number };
    const input = { ...place, Body: bytes, ChecksumCRC32: checksum };
    return { number, etag: etagOf(await missing(this.#client.send(new UploadPartCommand(input)))), checksum };
  }

  /** Copies an object of the bucket into a part, if it is still the one with this ETag. Throws BlobMissing. */
  async copyPart(
    name: string,
    uploadId: string,
    part: { readonly number: number; readonly from: string; readonly etag: string },
  ): Promise<NamedPart> {
    const { number } = part;
    const place = { ...this.#at(name), UploadId: uploadId, PartNumber: number };
    const source = { CopySource: this.#source(part.from), CopySourceIfMatch: part.etag };
    const { CopyPartResult } = await missing(this.#client.send(new UploadPartCopyCommand({ ...place, ...source })));
    const { ChecksumCRC32 = '' } = CopyPartResult ?? {};
    return { number, etag: etagOf(CopyPartResult ?? {}), checksum: ChecksumCRC32 };
  }

  /** Throws BlobMissing when the upload or one of its parts is gone. */
  async completeUpload(name: string, uploadId: string, parts: readonly NamedPart[]) {
    const Parts = parts.map(({ number, etag, checksum }) => ({
      PartNumber: number,
      ETag: etag,
      ChecksumCRC32: checksum,
    }));
    const place = { ...this.#at(name), UploadId: uploadId };
    await missing(this.#client.send(new CompleteMultipartUploadCommand({ ...place, MultipartUpload: { Parts } })));
  }

  async abortUpload(name: string, uploadId: string): Promise<void> {
    try {
      await this.#client.send(new AbortMultipartUploadCommand({ ...this.#at(name), UploadId: uploadId }));
    } catch (cause) {
      if (!isMissing(cause)) throw cause;
    }
  }

  async *uploads(prefix: string): AsyncGenerator<UploadEntry> {
    let after: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } | undefined = {};
    while (after !== undefined) {
      const command: ListMultipartUploadsCommand = new ListMultipartUploadsCommand({
        Bucket: this.#bucket,
        Prefix: prefix,
        ...after,
      });
      const page = await this.#client.send(command);
      for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
        if (Key !== undefined && UploadId !== undefined)
          yield { name: Key, uploadId: UploadId, begunMicros: microsOf(Initiated) };
      }
      after =
        page.IsTruncated === true
          ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker }
          : undefined;
    }
  }

  /** What an upload holds; undefined when it is gone. */
  async parts(name: string, uploadId: string): Promise<readonly ObjectPart[] | undefined> {
    const all: ObjectPart[] = [];
    let marker: string | undefined;
    try {
      do {
        const place = { ...this.#at(name), UploadId: uploadId };
        const page = await this.#client.send(new ListPartsCommand({ ...place, PartNumberMarker: marker }));
        for (const { PartNumber = 0, ETag = '', Size = 0 } of page.Parts ?? [])
          all.push({ number: PartNumber, etag: ETag, sizeBytes: Size });
        marker = page.IsTruncated === true ? page.NextPartNumberMarker : undefined;
      } while (marker !== undefined);
      return all;
    } catch (cause) {
      if (isMissing(cause)) return undefined;
      throw cause;
    }
  }

  #at(name: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.#bucket, Key: name };
  }

  #source(name: string): string {
    return encodeURI(`${this.#bucket}/${name}`);
  }
}

function encryptionOf({ algorithm, kmsKeyId }: S3Encryption) {
  return { ServerSideEncryption: algorithm, ...(kmsKeyId !== undefined && { SSEKMSKeyId: kmsKeyId }) };
}

function checksumOf(bytes: Uint8Array): string {
  const value = Buffer.alloc(4);
  value.writeUInt32BE(crc32(bytes));
  return value.toString('base64');
}

function etagOf({ ETag }: { readonly ETag?: string | undefined }): string {
  if (ETag === undefined) throw new Error('the store answered without an ETag');
  return ETag;
}

function microsOf(time: Date | undefined): number {
  return (time?.getTime() ?? 0) * 1000;
}

async function missing<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (cause) {
    throw orMissing(cause);
  }
}

function isFault(cause: unknown, name: string): boolean {
  return cause instanceof Error && cause.name === name;
}

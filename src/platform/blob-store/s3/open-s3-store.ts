import { S3Client } from '@aws-sdk/client-s3';
import type { Clock } from '../../clock.ts';
import type { Ids } from '../../ids.ts';
import type { Outbound } from '../../outbound/outbound.ts';
import type { BlobLinks } from '../blob-links.ts';
import type { S3Address } from '../store-address.ts';
import { createOutboundHandler } from './outbound-handler.ts';
import { S3Bucket } from './s3-bucket.ts';
import { S3Layout } from './s3-layout.ts';
import { createS3Links } from './s3-links.ts';
import { S3Store } from './s3-store.ts';

/** Tries of one request, the first among them, with growing pauses: some seconds in all. */
const maxAttempts = 5;

/** What signs requests; without it the SDK looks where its users keep credentials: environment, files, the machine's role. */
export type S3Credentials = { readonly accessKeyId: string; readonly secretAccessKey: string };

export type S3Options = {
  readonly address: S3Address;
  readonly credentials: S3Credentials | undefined;
  readonly outbound: Outbound;
  readonly ids: Ids;
  readonly clock: Clock;
};

/** A store in a bucket that exists. Asks nothing of it. */
export function openS3Store({ address, credentials, outbound, ids, clock }: S3Options): S3Store {
  const { bucket, encryption } = address;
  const client = createS3Client(address, credentials, outbound);
  const layout = new S3Layout(address.prefix);
  return new S3Store({ bucket: new S3Bucket({ client, bucket, encryption }), layout, ids, clock });
}

/** Links to the same bucket, for clients that reach its service at `publicEndpoint` where that is given. */
export function openS3Links(options: S3Options, publicEndpoint: string | undefined): BlobLinks {
  const { address, credentials, outbound, clock } = options;
  const endpoint = publicEndpoint ?? address.endpoint ?? `https://s3.${address.region}.amazonaws.com`;
  const { protocol, host, pathname } = new URL(endpoint);
  const path = pathname.replace(/\/$/, '');
  const bucketUrl = address.isPathStyle
    ? `${protocol}//${host}${path}/${address.bucket}`
    : `${protocol}//${address.bucket}.${host}${path}`;
  const { config } = createS3Client(address, credentials, outbound);
  const layout = new S3Layout(address.prefix);
  return createS3Links({ bucketUrl, region: address.region, credentials: () => config.credentials(), layout, clock });
}

/** Requests leave by the gateway; checksums are ours to send, and blocks are checked above the store. */
export function createS3Client(
  { region, endpoint, isPathStyle }: S3Address,
  credentials: S3Credentials | undefined,
  outbound: Outbound,
): S3Client {
  return new S3Client({
    region,
    forcePathStyle: isPathStyle,
    maxAttempts,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: createOutboundHandler(outbound),
    ...(endpoint !== undefined && { endpoint }),
    ...(credentials !== undefined && { credentials }),
  });
}

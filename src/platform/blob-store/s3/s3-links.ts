import { createHash, createHmac } from 'node:crypto';
import type { Clock } from '../../clock.ts';
import type { BlobLinks } from '../blob-links.ts';
import type { S3Layout } from './s3-layout.ts';

export type LinkCredentials = {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
};

export type S3LinksOptions = {
  /** Where clients reach the bucket: `https://bucket.s3.eu-west-1.amazonaws.com`, `https://objects.example.com/bucket`. */
  readonly bucketUrl: string;
  readonly region: string;
  /** Asked for each link: those of a machine's role change. */
  readonly credentials: () => Promise<LinkCredentials>;
  readonly layout: S3Layout;
  readonly clock: Clock;
};

const algorithm = 'AWS4-HMAC-SHA256';

/** Addresses signed in their query. Source: Amazon S3 API reference, "Authenticating Requests: Using Query Parameters". */
export function createS3Links({ bucketUrl, region, credentials, layout, clock }: S3LinksOptions): BlobLinks {
  return {
    linkTo: async (key, lifeSeconds) => {
      const { accessKeyId, secretAccessKey, sessionToken } = await credentials();
      const url = new URL(`${bucketUrl}/${layout.blob(key)}`);
      const time = new Date(clock.nowMicros() / 1000).toISOString().replace(/[-:]|\.\d+/g, '');
      const day = time.slice(0, 8);
      const scope = `${day}/${region}/s3/aws4_request`;
      const query = queryOf({
        'X-Amz-Algorithm': algorithm,
        'X-Amz-Credential': `${accessKeyId}/${scope}`,
        'X-Amz-Date': time,
        'X-Amz-Expires': String(lifeSeconds),
        ...(sessionToken !== undefined && { 'X-Amz-Security-Token': sessionToken }),
        'X-Amz-SignedHeaders': 'host',
        'response-content-type': 'application/octet-stream',
      });
      const request = ['GET', url.pathname, query, `host:${url.host}`, '', 'host', 'UNSIGNED-PAYLOAD'].join('\n');
      const text = [algorithm, time, scope, createHash('sha256').update(request).digest('hex')].join('\n');
      const signing = [day, region, 's3', 'aws4_request'].reduce<string | Buffer>(mac, `AWS4${secretAccessKey}`);
      return `${url.origin}${url.pathname}?${query}&X-Amz-Signature=${mac(signing, text).toString('hex')}`;
    },
  };
}

function mac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

/** In the order of the names' bytes, as the signature wants it. */
function queryOf(values: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(values).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  return pairs.sort().join('&');
}

import { resolve } from 'node:path';

/** Where blobs are kept. */
export type StoreAddress =
  | { readonly kind: 'folder'; readonly folder: string }
  | ({ readonly kind: 's3' } & S3Address)
  | ({ readonly kind: 'azure' } & AzureAddress);

export type S3Address = {
  readonly bucket: string;
  /** Empty, or ends with a slash. */
  readonly prefix: string;
  readonly region: string;
  /** Origin of another service than Amazon's. */
  readonly endpoint: string | undefined;
  /** Whether the bucket is in the path rather than in the host name. */
  readonly isPathStyle: boolean;
  readonly encryption: { readonly algorithm: 'AES256' | 'aws:kms'; readonly kmsKeyId: string | undefined } | undefined;
};

export type AzureAddress = {
  readonly account: string;
  readonly container: string;
  /** Empty, or ends with a slash. */
  readonly prefix: string;
  /** Address of the account; `https://<account>.blob.core.windows.net` unless given. */
  readonly endpoint: string;
  /** Client id of the managed identity to use, where the machine has several. */
  readonly identity: string | undefined;
};

const s3Options = ['region', 'endpoint', 'path-style', 'sse', 'kms-key'];
const azureOptions = ['endpoint', 'identity'];

/**
 * Reads the setting `blobs`: a path, `s3://bucket/prefix?region=…&endpoint=…&path-style=on&sse=AES256`, or
 * `azure://account/container/prefix?endpoint=…&identity=…`. Throws RangeError with what is wrong.
 */
export function parseStoreAddress(text: string): StoreAddress {
  if (text.startsWith('s3://')) return { kind: 's3', ...parseS3(new URL(text)) };
  if (text.startsWith('azure://')) return { kind: 'azure', ...parseAzure(new URL(text)) };
  if (/^[a-z][a-z0-9+.-]*:\/\//.test(text))
    throw new RangeError('blobs are kept in a folder, or at s3://bucket or azure://account/container');
  if (text === '') throw new RangeError('a path is needed');
  return { kind: 'folder', folder: resolve(text) };
}

function parseS3(url: URL): S3Address {
  requireOptions(url, s3Options);
  const { searchParams: options, hostname: bucket } = url;
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket))
    throw new RangeError('a bucket is named as in s3://my-bucket/prefix');
  const endpoint = endpointOf(options.get('endpoint'));
  const sse = options.get('sse') ?? undefined;
  const kmsKeyId = options.get('kms-key') ?? undefined;
  if (sse !== undefined && sse !== 'AES256' && sse !== 'aws:kms') throw new RangeError('sse is AES256 or aws:kms');
  if (kmsKeyId !== undefined && sse !== 'aws:kms') throw new RangeError('kms-key needs sse=aws:kms');
  const style = options.get('path-style') ?? (endpoint === undefined ? 'off' : 'on');
  if (style !== 'on' && style !== 'off') throw new RangeError('path-style is on or off');
  return {
    bucket,
    prefix: prefixOf(url.pathname),
    region: options.get('region') ?? 'us-east-1',
    endpoint,
    isPathStyle: style === 'on',
    encryption: sse && { algorithm: sse, kmsKeyId },
  };
}

function parseAzure(url: URL): AzureAddress {
  requireOptions(url, azureOptions);
  const account = url.hostname;
  const [, container = '', rest = ''] = /^\/([^/]+)(.*)$/.exec(url.pathname) ?? [];
  if (!/^[a-z0-9]{3,24}$/.test(account) || !/^[a-z0-9](?:-?[a-z0-9]){2,62}$/.test(container))
    throw new RangeError('account and container are named as in azure://myaccount/my-container/prefix');
  const endpoint = endpointOf(url.searchParams.get('endpoint')) ?? `https://${account}.blob.core.windows.net`;
  const identity = url.searchParams.get('identity') ?? undefined;
  if (identity !== undefined && !/^[0-9a-fA-F-]{36}$/.test(identity))
    throw new RangeError('identity is the client id of a managed identity: a GUID');
  return { account, container, prefix: prefixOf(rest), endpoint, identity };
}

/** Without a slash at the end. */
function endpointOf(text: string | null): string | undefined {
  if (text === null) return undefined;
  const url = URL.parse(text);
  if (url === null || !['http:', 'https:'].includes(url.protocol) || url.search !== '' || url.username !== '')
    throw new RangeError('an endpoint is an address such as https://objects.example.com');
  return url.href.replace(/\/$/, '');
}

function prefixOf(path: string): string {
  const names = path.split('/').filter((name) => name !== '');
  if (!names.every((name) => /^[A-Za-z0-9._-]+$/.test(name) && !/^\.+$/.test(name)))
    throw new RangeError('a prefix is made of letters, digits, dots, hyphens and slashes');
  return names.map((name) => `${name}/`).join('');
}

function requireOptions(url: URL, known: readonly string[]): void {
  const unknown = [...url.searchParams.keys()].find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new RangeError(`${unknown} is not an option of ${url.protocol}//; these are: ${known.join(', ')}`);
  if (url.username !== '' || url.password !== '')
    throw new RangeError(
      'credentials do not belong into the address: BERTH_BLOBS_KEY_ID and BERTH_BLOBS_KEY hold them',
    );
}

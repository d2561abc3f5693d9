import { resolve } from 'node:path';
import { parseStoreAddress, type StoreAddress } from '../../platform/blob-store/store-address.ts';

/** Where logs can be sent: the operator says where, and who may change a registry chooses among them by name. */
export type LogDestination =
  | { readonly name: string; readonly kind: 'file'; readonly path: string }
  | { readonly name: string; readonly kind: 'http'; readonly url: string }
  | { readonly name: string; readonly kind: 'store'; readonly address: StoreAddress };

/**
 * Reads `name=address` pairs: `file:/var/log/berth.jsonl`, `https://…`, `store:` before what the setting `blobs` takes.
 * Throws RangeError with what is wrong.
 */
export function parseLogDestinations(pairs: readonly string[]): LogDestination[] {
  const destinations = pairs.map(parseLogDestination);
  const twice = destinations.find(({ name }, at) => destinations.findIndex((each) => each.name === name) !== at);
  if (twice !== undefined) throw new RangeError(`there are two destinations of the name ${twice.name}`);
  return destinations;
}

function parseLogDestination(pair: string): LogDestination {
  const [, name = '', address = ''] = /^([a-z0-9][a-z0-9-]{0,62})=(.+)$/.exec(pair) ?? [];
  if (name === '') throw new RangeError(`${pair} is not of the form name=address, with a name of a-z, 0-9 and hyphens`);
  if (address.startsWith('file:')) return { name, kind: 'file', path: resolve(address.slice('file:'.length)) };
  if (address.startsWith('store:'))
    return { name, kind: 'store', address: parseStoreAddress(address.slice('store:'.length)) };
  const url = URL.parse(address);
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '')
    throw new RangeError(
      `${name} is none of file:/path, https://host/path, store:/folder, store:s3://bucket/prefix, store:azure://account/container`,
    );
  return { name, kind: 'http', url: url.href };
}

/** Reads `name=token` pairs. Throws RangeError without showing a token. */
export function parseLogTokens(pairs: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    pairs.map((pair): [string, string] => {
      const at = pair.indexOf('=');
      if (at <= 0) throw new RangeError('a token is given as name=token, by the name of its destination');
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

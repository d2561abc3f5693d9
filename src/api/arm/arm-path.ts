import { refuse } from '../../features/resources/refuse.ts';

/** Whether a path belongs to the resource manager (house plan, "Hosts"). */
export function isArmPath(path: string): boolean {
  return /^\/+(subscriptions|tenants|providers)(\/|$)/i.test(path);
}

const maxSegments = 40;
const maxSegmentLength = 260;

/** The segments of a path, each decoded once. Throws `requestInvalid`: ids are plain visible ASCII. */
export function segmentsOf(pathname: string): string[] {
  const segments = pathname
    .split('/')
    .filter((segment) => segment !== '')
    .map(decoded);
  if (segments.length > maxSegments) throw refuse('requestInvalid', { message: 'The address has too many segments.' });
  return segments;
}

function decoded(segment: string): string {
  const text = tryDecode(segment);
  const isPlain =
    text !== undefined &&
    text.length <= maxSegmentLength &&
    /^[\x20-\x7e]+$/.test(text) &&
    !/[/\\%?#&<>]/.test(text) &&
    !/^\.{1,2}$/.test(text);
  if (isPlain) return text;
  throw refuse('requestInvalid', { message: 'The address holds characters that no resource has in its id.' });
}

function tryDecode(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    // Not percent-encoding: told as any other wrong character.
    return undefined;
  }
}

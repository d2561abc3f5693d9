/** The path of an address as people write it, with blanks for `%20`; undefined where it is not encoded as paths are. */
export function decodedPath(pathname: string): string | undefined {
  try {
    return decodeURI(pathname);
  } catch {
    return undefined;
  }
}

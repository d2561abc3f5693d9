/** The path of an address as people write it, with blanks for `%20`; undefined where it is not encoded as paths are. */
export function decodedPath(pathname: string): string | undefined {
  try {
    return decodeURI(pathname);
  } catch {
    return undefined;
  }
}

/** What stands before the host of an address, as `user:password`; a name alone is an access token. */
export function credentialsOf({ username, password }: URL): string | undefined {
  if (username === '' && password === '') return undefined;
  return password === '' ? `git:${decodedWord(username)}` : `${decodedWord(username)}:${decodedWord(password)}`;
}

function decodedWord(written: string): string {
  try {
    return decodeURIComponent(written);
  } catch {
    // It means what is written.
    return written;
  }
}

/** An address as it may be shown: people write access tokens into them. */
export function withoutCredentials(address: string): string {
  const url = URL.parse(address);
  if (url === null || (url.username === '' && url.password === '')) return address;
  url.username = '';
  url.password = '';
  return url.href;
}

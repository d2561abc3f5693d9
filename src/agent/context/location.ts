import { RunFailure } from '../run-failure.ts';

/** What a context's address means. Source: ACR tasks, 1.3. */
export type ContextLocation =
  | {
      readonly kind: 'git';
      readonly url: string;
      readonly ref: string | undefined;
      readonly folder: string | undefined;
    }
  | { readonly kind: 'archive'; readonly url: string }
  | { readonly kind: 'artifact'; readonly reference: string };

const maxLength = 8_192;
const refPattern = /^[A-Za-z0-9_][A-Za-z0-9_./+@=-]{0,254}$/;

/** Throws RunFailure for an address that is not understood, or would be an option or another transport for git. */
export function parseLocation(text: string): ContextLocation {
  if (text.length > maxLength || /[\s\0]/.test(text)) throw new RunFailure('the address of the context is malformed');
  if (/^oci:\/\//i.test(text)) return { kind: 'artifact', reference: text.slice('oci://'.length) };
  const [address = '', ...fragments] = text.split('#');
  const fragment = fragments.join('#');
  if (/^(git@|ssh:|git:\/\/)/i.test(address)) {
    throw new RunFailure(`${withoutSecrets(address)}: contexts come over https or http; write https://host/path.git`);
  }
  const url = URL.parse(/^github\.com\//i.test(address) ? `https://${address}` : address);
  if (url === null || !['https:', 'http:'].includes(url.protocol)) {
    throw new RunFailure(
      `${withoutSecrets(address)} is not an address of a context: https://…, https://….git#ref:folder or oci://…`,
    );
  }
  if (!isGit(url)) return { kind: 'archive', url: url.href };
  return { kind: 'git', url: url.href, ...fragmentOf(fragment) };
}

function isGit(url: URL): boolean {
  if (url.pathname.endsWith('.git') || url.hostname === 'github.com') return true;
  const isAzure = url.hostname === 'dev.azure.com' || url.hostname.endsWith('.visualstudio.com');
  return isAzure && url.pathname.includes('/_git/') && url.search === '';
}

function fragmentOf(fragment: string): { ref: string | undefined; folder: string | undefined } {
  const colon = fragment.indexOf(':');
  const ref = colon < 0 ? fragment : fragment.slice(0, colon);
  const folder = colon < 0 ? '' : fragment.slice(colon + 1);
  requireRef(ref);
  if (folder.startsWith('-') || folder.split('/').includes('..')) {
    throw new RunFailure(`the folder ${JSON.stringify(folder.slice(0, 100))} leaves the repository`);
  }
  return { ref: ref === '' ? undefined : ref, folder: folder === '' ? undefined : folder.replace(/^\/+/, '') };
}

/** Throws RunFailure for what is not a branch, a tag, a commit or a pull request. */
export function requireRef(ref: string): void {
  if (ref !== '' && (!refPattern.test(ref) || ref.includes('..') || ref.includes('@{'))) {
    throw new RunFailure(`${JSON.stringify(ref.slice(0, 100))} is not a branch, tag or commit`);
  }
}

/** An address as it may be shown: without user and password. */
export function withoutSecrets(address: string): string {
  return address.replace(/\/\/[^/@]*@/, '//').slice(0, 300);
}

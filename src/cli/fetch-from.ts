import { NoServer } from './command.ts';

/** `fetch` for commands: throws NoServer, which says what to do, when nothing that can be spoken to is at `origin`. */
export function fetchFrom(origin: string): typeof fetch {
  return async (input, init) => {
    try {
      return await fetch(input, init);
    } catch (error) {
      const code = causeCode(error);
      throw code === undefined ? error : new NoServer(whyUnreachable(origin, code), { cause: error });
    }
  };
}

/** What the system or TLS called the failure of a `fetch`; undefined when it was neither. */
export function causeCode(error: unknown): string | undefined {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && 'code' in cause ? String(cause.code) : undefined;
}

export function isCertificateCode(code: string): boolean {
  return /CERT|SIGNATURE|ISSUER/.test(code);
}

function whyUnreachable(origin: string, code: string): string {
  if (isCertificateCode(code))
    return `the certificate at ${origin} is not trusted (${code}): give the data folder of the server there with --data`;
  return `no server answers at ${origin} (${code}): start it with berth serve, or give --server or --data`;
}

import { BerthError } from '../../core/errors.ts';
import type { AccessScope } from '../../core/scope.ts';
import type { AccessLog } from '../../platform/access-log/access-log.ts';
import type { Directory } from '../registries/directory.ts';
import type { Registry } from '../registries/registry.ts';
import type { Caller } from './caller.ts';
import type { Callers } from './callers.ts';
import { type Circumstances, decide } from './decision.ts';
import type { RegistryTokens, TokenHolder } from './registry-tokens.ts';
import { rightsOf } from './rights.ts';
import { grantedAccess } from './token-access.ts';

/** How the asker shows who it is. */
export type TokenCredentials =
  | { readonly kind: 'header'; readonly authorization: string | undefined }
  | { readonly kind: 'password'; readonly userName: string; readonly password: string }
  | { readonly kind: 'refreshToken'; readonly token: string };

export type TokenRequest = {
  readonly registry: Registry;
  readonly credentials: TokenCredentials;
  readonly asked: readonly AccessScope[];
  readonly wantsRefreshToken: boolean;
  readonly circumstances: Circumstances;
};

export type IssuedTokens = {
  readonly accessToken: string;
  readonly expiresInSeconds: number;
  readonly refreshToken: string | undefined;
};

/**
 * Trades credentials for an access token that holds the allowed part of what was asked, perhaps nothing. Reads the epoch
 * first, so that a right withdrawn a moment ago is not granted. Throws `credentialsWrong`; `unauthorized` for none where the
 * registry has no anonymous pull; `tooManyAttempts`.
 */
export type IssueTokens = (request: TokenRequest) => Promise<IssuedTokens>;

export type IssueTokensParts = {
  readonly callers: Callers;
  readonly directory: Directory;
  readonly tokens: RegistryTokens;
  readonly accessLog: AccessLog;
};

export function createIssueTokens(parts: IssueTokensParts): IssueTokens {
  const { directory, tokens } = parts;
  return async (request) => {
    await directory.refresh();
    const { asked, circumstances } = request;
    const holder = await holderOf(parts, request);
    const rights = rightsOf(holder.principal, holder.registry);
    const registryScope = { kind: 'registry', registryUid: holder.registry.uid } as const;
    if (decide(rights, 'connect', registryScope, circumstances).kind === 'denied') throw new BerthError('unauthorized');
    const access = grantedAccess(rights, asked, holder.registry.uid, circumstances);
    const accessToken = await tokens.signAccessToken(holder, access);
    const isForGood = request.wantsRefreshToken && holder.credentialUid !== undefined;
    const refreshToken = isForGood ? await tokens.signRefreshToken(holder) : undefined;
    record(parts.accessLog, holder, circumstances);
    return { accessToken, expiresInSeconds: tokens.lifetimes.accessTokenSeconds, refreshToken };
  };
}

async function holderOf(parts: IssueTokensParts, request: TokenRequest): Promise<TokenHolder> {
  const caller = await callerOf(parts.callers, request);
  // An access token buys no other: it would never end.
  if (caller === undefined || caller.kind === 'token') throw new BerthError('credentialsWrong');
  const identity = await caller.identity(parts.directory.epoch());
  if (identity === undefined) throw new BerthError('credentialsWrong');
  const registry = parts.directory.byUid(request.registry.uid);
  if (registry === undefined) throw new BerthError('registryUnknown');
  return { ...identity, registry, epoch: Math.min(identity.epoch, parts.directory.epoch()) };
}

async function callerOf(callers: Callers, request: TokenRequest): Promise<Caller | undefined> {
  const { credentials, registry, circumstances } = request;
  switch (credentials.kind) {
    case 'header':
      return await callers.ofHeader(credentials.authorization, registry, circumstances);
    case 'password':
      return await callers.ofPassword(credentials, registry, circumstances);
    case 'refreshToken':
      return await callers.ofRefreshToken(credentials.token, registry);
  }
}

function record(accessLog: AccessLog, { registry, principal }: TokenHolder, circumstances: Circumstances): void {
  const { address, correlationId, userAgent } = circumstances;
  accessLog.record({
    kind: 'tokenIssue',
    registryUid: registry.uid,
    identity: principal.uid,
    address,
    correlationId,
    status: 200,
    ...(userAgent === undefined ? {} : { userAgent }),
  });
}

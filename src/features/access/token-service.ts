import type { AccessScope } from '../../core/scope.ts';
import type { AccessLog } from '../../platform/access-log/access-log.ts';
import type { Directory } from '../registries/directory.ts';
import type { Registry } from '../registries/registry.ts';
import type { Caller } from './caller.ts';
import type { Callers } from './callers.ts';
import type { Circumstances } from './decision.ts';
import type { RegistryTokens } from './registry-tokens.ts';
import type { RightsSource } from './rights-source.ts';
import { grantedAccess, permittedActions } from './token-access.ts';
import { type BeforeIssue, holderOf, recordIssue, requireConnection } from './token-holder.ts';

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
  readonly beforeIssue?: BeforeIssue;
};

export type IssuedTokens = {
  readonly accessToken: string;
  readonly expiresInSeconds: number;
  readonly refreshToken: string | undefined;
};

/**
 * Trades credentials for an access token that holds the allowed part of what was asked, perhaps nothing. Reads the epoch
 * first, so that a right withdrawn a moment ago is not granted. Throws `credentialsWrong`; `unauthorized` for none where the
 * registry has no anonymous pull; `networkDenied`; `tooManyAttempts`.
 */
export type IssueTokens = (request: TokenRequest) => Promise<IssuedTokens>;

export type IssueTokensParts = {
  readonly callers: Callers;
  readonly directory: Directory;
  readonly rightsSource: RightsSource;
  readonly tokens: RegistryTokens;
  readonly accessLog: AccessLog;
};

export function createIssueTokens(parts: IssueTokensParts): IssueTokens {
  const { directory, rightsSource, tokens, accessLog } = parts;
  return async (request) => {
    await directory.refresh();
    const { asked, circumstances } = request;
    const holder = await holderOf(directory, await callerOf(parts.callers, request), request.registry.uid);
    await request.beforeIssue?.(holder.principal);
    const { rights } = await rightsSource.of(holder.principal, holder.registry, holder.epoch);
    requireConnection(rights, holder.registry, circumstances);
    const access = grantedAccess({ rights, asked, registry: holder.registry, limits: holder.limits, circumstances });
    const { token: accessToken, expiresInSeconds } = await tokens.signAccessToken(holder, access);
    const isForGood = request.wantsRefreshToken && holder.credentialUid !== undefined;
    const refreshToken = isForGood
      ? await tokens.signRefreshToken(holder, permittedActions(rights, holder.registry.uid))
      : undefined;
    recordIssue(accessLog, holder, circumstances);
    return { accessToken, expiresInSeconds, refreshToken };
  };
}

async function callerOf(callers: Callers, request: TokenRequest): Promise<Caller | undefined> {
  const { credentials, registry, circumstances } = request;
  switch (credentials.kind) {
    case 'header':
      return await callers.ofHeader(credentials.authorization, registry, circumstances);
    case 'password':
      return await callers.ofPassword(credentials, registry, circumstances);
    case 'refreshToken':
      return await callers.ofRefreshToken(credentials.token, registry, circumstances);
  }
}

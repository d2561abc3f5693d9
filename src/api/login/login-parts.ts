import type { AuthorizationCodes } from '../../features/identity/authorization-codes.ts';
import type { ClientAssertions } from '../../features/identity/client-assertions.ts';
import type { FindClient } from '../../features/identity/clients.ts';
import type { DeviceCodes } from '../../features/identity/device-codes.ts';
import type { OutsideSignIn } from '../../features/identity/outside-sign-in.ts';
import type { SignIn } from '../../features/identity/sign-in.ts';
import type { SignInSessions } from '../../features/identity/sign-in-sessions.ts';
import type { TenantTokens } from '../../features/identity/tenant-tokens.ts';
import type { AccessLog } from '../../platform/access-log/access-log.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Ids } from '../../platform/ids.ts';
import type { Log } from '../../platform/log.ts';

/** What the login surface translates to. */
export type LoginParts = {
  readonly signIn: SignIn;
  readonly tenantTokens: TenantTokens;
  readonly clientAssertions: ClientAssertions;
  readonly sessions: SignInSessions;
  readonly deviceCodes: DeviceCodes;
  readonly authorizationCodes: AuthorizationCodes;
  /** Undefined when no outside provider is set. */
  readonly outsideSignIn?: OutsideSignIn | undefined;
  readonly findClient: FindClient;
  readonly accessLog: AccessLog;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  readonly domain: string;
};

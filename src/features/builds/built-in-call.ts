import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Sealer } from '../../platform/keys/sealer.ts';
import type { Log } from '../../platform/log.ts';
import type { BuiltInLine } from '../../wire/builds/agent-protocol.ts';
import type { Authorize } from '../access/access.ts';
import type { RunTokens } from '../access/run-tokens.ts';
import type { Deletions } from '../content/deletions.ts';
import type { Listings } from '../content/listings.ts';
import type { Manifests } from '../content/manifests.ts';
import type { Metadata } from '../content/metadata.ts';
import type { Uploads } from '../content/uploads.ts';
import type { Directory } from '../registries/directory.ts';
import type { AgentCall } from './agent-call.ts';
import type { RunRow } from './run-store.ts';

export type BuiltInParts = {
  readonly database: Database;
  readonly clock: Clock;
  readonly deletions: Deletions;
  readonly metadata: Pick<Metadata, 'tags' | 'manifests'>;
  readonly listings: Pick<Listings, 'catalog' | 'referrers'>;
  readonly manifests: Pick<Manifests, 'find' | 'push'>;
  readonly uploads: Pick<Uploads, 'push'>;
  readonly sealer: Sealer;
  readonly directory: Pick<Directory, 'byUid' | 'refresh'>;
  readonly authorize: Authorize;
  readonly runTokens: RunTokens;
  readonly log: Log;
};

export type BuiltInCall = {
  readonly run: RunRow;
  readonly words: readonly string[];
  readonly from: AgentCall;
  readonly signal: AbortSignal;
};

/**
 * A command of a step that the server does itself, with the rights of the run: its lines, and its exit code last. Throws
 * nothing that a line could say.
 */
export type RunBuiltIn = (call: BuiltInCall) => AsyncGenerator<BuiltInLine>;

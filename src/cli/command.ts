import type { AdminClient } from '../client/admin-client.ts';

/** Exit codes. Source: runtime contract, "Errors". */
export const exitCodes = { done: 0, failed: 1, usage: 2, notFound: 3 } as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** What a command may use; made by main.ts, so that commands reach the server only through the client. */
export type CommandContext = {
  readonly print: (text: string) => void;
  readonly complain: (text: string) => void;
  readonly version: string;
  /** Signed in as the owner named in bootstrap.json. Throws NoServer when there is none. */
  readonly connect: () => Promise<AdminClient>;
  /** Runs the server until it is told to stop. */
  readonly serve: () => Promise<ExitCode>;
  /** Does runs of builds until it is told to stop, or looks whether it could. */
  readonly agent: (task: AgentTask) => Promise<ExitCode>;
  /** What this machine can do for builds. */
  readonly buildHost: () => Promise<BuildHost>;
  /** What the place of the blobs says from this machine. */
  readonly store: () => Promise<StoreFinding>;
  /** Works on the data itself, without a server. */
  readonly offline: (task: OfflineTask) => Promise<ExitCode>;
  readonly settings: () => readonly SettingLine[];
  readonly surroundings: () => Surroundings;
  /** Throws NoServer before the first start. */
  readonly cloud: () => CloudSurroundings;
};

/** Paths are absolute; `to` and `from` of backups are a path or the address of an object store, `blobs` that of a blob store. */
export type OfflineTask =
  | { readonly kind: 'migrateDatabase' }
  | { readonly kind: 'fsck'; readonly repairs: boolean; readonly force: boolean; readonly json: boolean }
  | {
      readonly kind: 'backup';
      readonly to: string;
      readonly blobs: string | undefined;
      readonly withSecrets: boolean;
      readonly keep: number | undefined;
    }
  | {
      readonly kind: 'restore';
      readonly from: string;
      readonly blobs: string | undefined;
      readonly snapshot: string | undefined;
    }
  | { readonly kind: 'move'; readonly from: string; readonly to: string }
  | { readonly kind: 'rebuild' };

export type AgentTask = { readonly pool: string; readonly slots: number; readonly isCheck: boolean };

/** What is there, what is missing, and what is worth knowing: one line each. */
export type BuildHost = {
  readonly executor: string;
  readonly isolation: string;
  readonly missing: readonly string[];
  readonly warnings: readonly string[];
};

export type SettingLine = {
  readonly name: string;
  readonly value: string;
  readonly source: string;
  readonly unit: string;
  readonly meaning: string;
};

/** What `doctor` looks at. */
export type Surroundings = {
  readonly dataFolder: string;
  /** Where blobs are, if that is a folder. */
  readonly blobsFolder: string | undefined;
  /** Process that works on the data folder now. */
  readonly holder: string | undefined;
  readonly domain: string;
  readonly listeners: readonly { readonly name: string; readonly host: string; readonly port: number }[];
  /** Present when the database is not the embedded one. */
  readonly databaseUrl: string | undefined;
  /** Where commands reach the server; undefined before the first start. */
  readonly origin: string | undefined;
  readonly caCertificate: string | undefined;
};

/** `lost`: nobody's, though this installation has started before. */
export type StoreOwner = 'ours' | 'another' | 'nobody' | 'lost' | 'unknown';

/** Whose the place of the blobs is, or why nobody can tell. */
export type StoreFinding =
  | {
      readonly place: string;
      readonly owner: StoreOwner;
      /** Why the database does not tell which installation this is. */
      readonly databaseRefusal?: string;
    }
  | { readonly place: string; readonly failure: string };

/** What `az-cloud` tells the Azure CLI. */
export type CloudSurroundings = {
  /** Of management, login and Graph. */
  readonly origin: string;
  readonly domain: string;
  /** `.berth.localhost:5443`. */
  readonly loginServerSuffix: string;
  /** Path of a file with the public authorities and ours: the Azure CLI believes nothing but one file. */
  readonly caBundle: string;
  /** GUID. */
  readonly tenantId: string;
  readonly owner: { readonly clientId: string; readonly clientSecret: string };
  readonly registry: { readonly loginServer: string };
};

/** No server is known to speak to. */
export class NoServer extends Error {}

export type Operand = { readonly name: string; readonly meaning: string; readonly choices?: readonly string[] };
export type Option = {
  readonly name: string;
  /** `f` for `-f`. */
  readonly letter?: string;
  readonly meaning: string;
  readonly value?: string;
  /** Whether it may be given several times; otherwise the last one counts. */
  readonly repeats?: boolean;
};

/** What a person typed: operands by name, options by name (`true` for one without a value). */
export type Given = {
  readonly operand: (name: string) => string;
  readonly option: (name: string) => string | undefined;
  /** Of one that repeats. */
  readonly options: (name: string) => readonly string[];
  readonly isSet: (name: string) => boolean;
};

/** A command is data: help is made from it. `words` are noun and verb. */
export type Command = {
  readonly words: readonly [string, ...string[]];
  readonly purpose: string;
  readonly operands?: readonly Operand[];
  readonly options?: readonly Option[];
  /** Flags of the settings that its help shows; those that lead to the server unless set. */
  readonly settings?: readonly string[] | 'all';
  readonly run: (context: CommandContext, given: Given) => Promise<ExitCode>;
};

export const jsonOption: Option = { name: 'json', meaning: 'print JSON' };

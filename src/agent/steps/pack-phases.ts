import { ProgramError } from '../program.ts';
import { RunFailure } from '../run-failure.ts';
import type { PackBuild } from './pack-words.ts';

/** One program of a lifecycle. */
export type PackPhase = {
  readonly program: 'analyzer' | 'detector' | 'restorer' | 'builder' | 'exporter' | 'creator';
  readonly title: string;
  /**
   * Whether it reads and writes images: then it begins as root with what it signs in with, and gives root up by itself. Others run
   * what buildpacks bring, as the builder's user, and have no credentials anywhere.
   */
  readonly isConnected: boolean;
  readonly words: (asked: Pick<PackBuild, 'runImage' | 'process'>, tags: readonly string[]) => readonly string[];
};

const layers = '-layers=/layers';
const files = ['-app=/workspace', layers];
const report = '-report=/layers/report.toml';
const runImageWords = ({ runImage }: Pick<PackBuild, 'runImage'>) =>
  runImage === undefined ? [] : [`-run-image=${runImage}`];
const processWords = ({ process }: Pick<PackBuild, 'process'>) =>
  process === undefined ? [] : [`-process-type=${process}`];
/** The first is the image, the others are further names of it. */
const imageWords = ([image = '', ...more]: readonly string[]) => [...more.map((tag) => `-tag=${tag}`), image];

/** In their order, from version 0.7 of the interface on. Source: buildpacks platform specification, "Usage". */
export const phases: readonly PackPhase[] = [
  {
    ...{ program: 'analyzer', title: 'ANALYZING', isConnected: true },
    words: (asked, tags) => [layers, ...runImageWords(asked), ...imageWords(tags)],
  },
  {
    ...{ program: 'detector', title: 'DETECTING', isConnected: false },
    words: () => [...files, '-platform=/platform'],
  },
  { program: 'restorer', title: 'RESTORING', isConnected: true, words: () => [layers] },
  {
    ...{ program: 'builder', title: 'BUILDING', isConnected: false },
    words: () => [...files, '-platform=/platform'],
  },
  {
    ...{ program: 'exporter', title: 'EXPORTING', isConnected: true },
    words: (asked, tags) => [...files, report, ...processWords(asked), ...tags],
  },
];

/** All of them as one program, for lifecycles whose phases have another order and other words. */
export const wholeLifecycle: PackPhase = {
  ...{ program: 'creator', title: 'CREATING', isConnected: true },
  words: (asked, tags) => [
    ...files,
    ...['-platform=/platform', report],
    ...runImageWords(asked),
    ...processWords(asked),
    ...imageWords(tags),
  ],
};

const exitCodes = { hasExtensions: 95, isOld: 96, noLifecycle: 97, noUser: 98, unknownApi: 99 } as const;

/** $1 phase, then its words. Finds an interface that the lifecycle speaks, newest first. Source: "Platform API Compatibility". */
const beginScript = `
program=/cnb/lifecycle/$1
shift
[ -x "$program" ] || exit ${exitCodes.noLifecycle}
[ -n "\${CNB_USER_ID:-}" ] && [ -n "\${CNB_GROUP_ID:-}" ] || exit ${exitCodes.noUser}
found=
for api in \${CNB_PLATFORM_API:-0.15 0.14 0.13 0.12 0.11 0.10 0.9 0.8 0.7 0.6 0.5 0.4 0.3}; do
  export CNB_PLATFORM_API="$api"
  "$program" -version > /dev/null 2>&1 && found=yes && break
done
[ -n "$found" ] || exit ${exitCodes.unknownApi}
`;
const ownScript = 'chown -R "$CNB_USER_ID:$CNB_GROUP_ID" /workspace /layers\n';
/** The credentials are a file that is gone before the program begins. */
const connectScript = `
CNB_REGISTRY_AUTH=$(cat /berth/auth/registries)
rm -f /berth/auth/registries
export CNB_REGISTRY_AUTH
`;
const becomeScript = 'exec "$program" "$@"\n';

/** What the container of a phase runs: a line for `sh -ec`. */
export function scriptOf({ program }: PackPhase): string {
  switch (program) {
    case 'analyzer':
      return `${beginScript}
case "$CNB_PLATFORM_API" in 0.3 | 0.4 | 0.5 | 0.6) exit ${exitCodes.isOld} ;; esac
${ownScript}${connectScript}${becomeScript}`;
    case 'detector':
      return `${beginScript}
"$program" "$@"
while read -r line; do
  [ "$line" != '[[group-extensions]]' ] || exit ${exitCodes.hasExtensions}
done < /layers/group.toml
`;
    case 'builder':
      return `${beginScript}${becomeScript}`;
    case 'creator':
      return `${beginScript}${ownScript}${connectScript}${becomeScript}`;
    default:
      return `${beginScript}${connectScript}${becomeScript}`;
  }
}

/** Whether the phases of a lifecycle are not those that are known here, as the first one told. */
export function isOldLifecycle(cause: unknown): boolean {
  return cause instanceof ProgramError && cause.exitCode === exitCodes.isOld;
}

/** How a phase failed, for the person who chose the builder. */
export function phaseFailure(cause: unknown, builder: string, isOver: boolean): unknown {
  if (!(cause instanceof ProgramError)) return cause;
  switch (cause.exitCode) {
    case exitCodes.noLifecycle:
      return new RunFailure(
        `the builder ${builder} has no lifecycle at /cnb/lifecycle: name a builder of Cloud Native Buildpacks`,
      );
    case exitCodes.noUser:
      return noUser(builder);
    case exitCodes.unknownApi:
      return new RunFailure(
        `the lifecycle of the builder ${builder} speaks none of the platform interfaces 0.3 to 0.15`,
      );
    case exitCodes.hasExtensions:
      return new RunFailure(
        `the builder ${builder} extends its images by Dockerfiles (image extensions), which is not done in runs: name a builder whose order has none`,
      );
    default:
      if (!isOver) return cause;
      return new RunFailure(
        `${cause.message}; this phase took longer than the token that it was to push with is good for: let tokens live longer where the server runs (--token-lifetime)`,
        { cause },
      );
  }
}

export function noUser(builder: string): RunFailure {
  return new RunFailure(`the builder ${builder} names no user for its buildpacks (CNB_USER_ID and CNB_GROUP_ID)`);
}

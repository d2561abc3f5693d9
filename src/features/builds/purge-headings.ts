import type { PurgeItem } from '../retention/take-selection.ts';
import type { PurgeWords } from './purge-words.ts';

type Heading = {
  readonly repository: string;
  readonly what: 'tags' | 'manifests';
  /** Of its repository. */
  readonly isFirst: boolean;
};

/**
 * The lines that `acr purge` prints before the items of each repository: one for its tags, one for its manifests, also where
 * none leaves. Whoever reads them sees what the filter took. Source: ACR tasks, 5.6.
 */
export class PurgeHeadings {
  readonly #words: Pick<PurgeWords, 'untagged' | 'isDryRun'>;
  #last: string | undefined;
  /** Not told yet, in order. */
  readonly #waiting: Heading[] = [];

  constructor(words: Pick<PurgeWords, 'untagged' | 'isDryRun'>) {
    this.#words = words;
  }

  /** Repositories begin one after another; one that begins again is the same. */
  begin(repository: string): void {
    if (repository === this.#last) return;
    this.#last = repository;
    const { untagged } = this.#words;
    if (untagged !== 'only') this.#waiting.push({ repository, what: 'tags', isFirst: true });
    if (untagged !== 'none') this.#waiting.push({ repository, what: 'manifests', isFirst: untagged === 'only' });
  }

  /** What is told while nothing leaves: all of repositories that are done, and the first line of the one that is looked at. */
  begun(): readonly string[] {
    return this.#take(this.#waiting.findLastIndex(({ isFirst }) => isFirst) + 1);
  }

  /** What is told before an item. Tags that leave with their manifests stand among those. */
  before({ repository, tag }: Pick<PurgeItem, 'repository' | 'tag'>): readonly string[] {
    const what = tag === undefined ? 'manifests' : 'tags';
    const at = this.#waiting.findIndex((each) => each.repository === repository && each.what === what);
    return this.#take(at + 1);
  }

  /** What is told after the last item. */
  rest(): readonly string[] {
    return this.#take(this.#waiting.length);
  }

  #take(count: number): readonly string[] {
    const verb = this.#words.isDryRun ? 'Would delete' : 'Deleting';
    return this.#waiting
      .splice(0, count)
      .map(({ repository, what }) => `${verb} ${what} for repository: ${repository}`);
  }
}

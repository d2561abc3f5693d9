/** A tag of a repository, wherever it is; equal texts are equal images. */
export type ImageKey = string;

/** What a task makes, and what that stands on. */
export type GraphTask = {
  readonly uid: string;
  readonly outputs: readonly ImageKey[];
  readonly bases: readonly ImageKey[];
};

export function imageKey(image: {
  readonly host: string;
  readonly repository: string;
  readonly tag: string;
}): ImageKey {
  return `${image.host}/${image.repository}:${image.tag}`;
}

/** Which images stand on which, by the tasks that make them. Its answers take time that grows with the tasks and their images. */
export class TaskGraph {
  readonly #tasks: ReadonlyMap<string, GraphTask>;
  /** Uids of tasks. */
  readonly #makers: ReadonlyMap<ImageKey, readonly string[]>;
  readonly #users: ReadonlyMap<ImageKey, readonly string[]>;

  constructor(tasks: readonly GraphTask[]) {
    this.#tasks = new Map(tasks.map((task) => [task.uid, task]));
    this.#makers = uidsByImage(tasks, ({ outputs }) => outputs);
    this.#users = uidsByImage(tasks, ({ bases }) => bases);
  }

  /** Tasks that make what a task stands on, itself left out. */
  below(uid: string): readonly string[] {
    return this.#othersOf(uid, this.#tasks.get(uid)?.bases ?? [], this.#makers);
  }

  /** Tasks that stand on what a task makes, itself left out. */
  above(uid: string): readonly string[] {
    return this.#othersOf(uid, this.#tasks.get(uid)?.outputs ?? [], this.#users);
  }

  /**
   * Whether an image is made by a task itself, or by one that stands on what it makes: started by the image, it would start
   * itself for ever.
   */
  isMadeAbove(uid: string, image: ImageKey): boolean {
    const makers = new Set(this.#makers.get(image) ?? []);
    return makers.size > 0 && this.#withAbove([uid]).some((each) => makers.has(each));
  }

  /** A task and all that stands on it, each behind those that it waits for. Rings are cut where they close. */
  rebuildOrder(uids: readonly string[]): readonly { readonly uid: string; readonly waitsFor: readonly string[] }[] {
    const wanted = this.#withAbove(uids);
    const places = new Map(wanted.map((uid, place) => [uid, place]));
    const below = new Map(wanted.map((uid) => [uid, this.below(uid).filter((each) => places.has(each))]));
    const missing = new Map([...below].map(([uid, each]) => [uid, each.length]));
    const placed = new Map<string, readonly string[]>();
    let ready = wanted.filter((uid) => missing.get(uid) === 0);
    for (let next = 0; placed.size < wanted.length; ) {
      // Nothing is ready in a ring: its first task goes ahead.
      while (ready.length === 0) {
        const first = wanted[next] ?? '';
        if (!placed.has(first)) ready = [first];
        next += 1;
      }
      for (const uid of ready)
        placed.set(
          uid,
          (below.get(uid) ?? []).filter((each) => placed.has(each)),
        );
      const open = ready.flatMap((uid) => this.above(uid)).filter((uid) => places.has(uid) && !placed.has(uid));
      const freed = open.filter((uid) => {
        const left = (missing.get(uid) ?? 0) - 1;
        missing.set(uid, left);
        return left === 0;
      });
      ready = freed.toSorted((a, b) => (places.get(a) ?? 0) - (places.get(b) ?? 0));
    }
    return [...placed].map(([uid, waitsFor]) => ({ uid, waitsFor }));
  }

  #withAbove(uids: readonly string[]): string[] {
    const found = new Set(uids);
    for (const uid of found) for (const each of this.above(uid)) found.add(each);
    return [...found];
  }

  #othersOf(
    uid: string,
    images: readonly ImageKey[],
    tasks: ReadonlyMap<ImageKey, readonly string[]>,
  ): readonly string[] {
    const found = new Set(images.flatMap((key) => tasks.get(key) ?? []));
    found.delete(uid);
    return [...found];
  }
}

function uidsByImage(
  tasks: readonly GraphTask[],
  imagesOf: (task: GraphTask) => readonly ImageKey[],
): ReadonlyMap<ImageKey, readonly string[]> {
  const uids = new Map<ImageKey, string[]>();
  for (const task of tasks)
    for (const key of new Set(imagesOf(task))) {
      const known = uids.get(key);
      if (known === undefined) uids.set(key, [task.uid]);
      else known.push(task.uid);
    }
  return uids;
}

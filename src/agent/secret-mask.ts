/** What stands in the log where a secret was. */
const hidden = '***';
/** Shorter texts are too common to hide: every other letter of the log would go. */
const minSecretLength = 4;
/** A secret is found by its beginning; what follows it is compared where it stands. */
const maxHeadLength = 256;

type Head = {
  readonly text: string;
  /** How long the beginning is with which the first n letters end, themselves apart. */
  readonly borders: readonly number[];
  /** What may follow it. */
  readonly rests: readonly string[];
};

/**
 * Hides secrets in a stream of text, also where one is cut into several pieces: what may be the beginning of a secret waits
 * for the next piece. Each line of a secret of several lines is hidden too, as programs print it line by line. Of a long secret
 * its first 256 letters are hidden, and what follows as far as it is the secret's. Takes time that grows with the text alone.
 */
export class SecretMask {
  readonly #heads: readonly Head[];
  #waiting = '';
  /** What would go on with the secret that was hidden last. */
  #rests: readonly string[] = [];

  constructor(secrets: readonly string[]) {
    const lines = secrets.flatMap((secret) => [secret, ...secret.split(/\r?\n/)]).map((text) => text.trim());
    const long = [...new Set(lines)].filter((text) => text.length >= minSecretLength);
    const byHead = Map.groupBy(long, (text) => text.slice(0, maxHeadLength));
    this.#heads = [...byHead].map(([text, secretsOfHead]) => ({
      text,
      borders: bordersOf(text),
      rests: secretsOfHead.map((secret) => secret.slice(text.length)).filter((rest) => rest !== ''),
    }));
  }

  /** What may be shown now. */
  add(text: string): string {
    const all = `${this.#waiting}${text}`;
    const scans = this.#heads.map((head) => new Scan(head, all));
    const shown: string[] = [];
    let at = this.#passRests(all, 0);
    for (;;) {
      const found = firstOf(scans, at);
      if (found === undefined) break;
      shown.push(all.slice(at, found.at), hidden);
      this.#rests = found.head.rests;
      at = this.#passRests(all, found.at + found.head.text.length);
    }
    const held = Math.max(0, ...scans.map((scan) => scan.heldLength(at)));
    this.#waiting = all.slice(all.length - held);
    return `${shown.join('')}${all.slice(at, all.length - held)}`;
  }

  /** What still waited, at the end of the stream. */
  end(): string {
    const rest = this.#waiting;
    this.#waiting = '';
    this.#rests = [];
    return rest;
  }

  /** The end of what goes on with a secret from here on. */
  #passRests(text: string, from: number): number {
    let at = from;
    while (at < text.length && this.#rests.length > 0) {
      const letter = text[at];
      this.#rests = this.#rests.filter((rest) => rest.startsWith(letter ?? '')).map((rest) => rest.slice(1));
      if (this.#rests.length > 0) at += 1;
    }
    return at;
  }
}

/** Looks for one head in a text, never at a letter twice. Source: Knuth, Morris and Pratt, 1977. */
class Scan {
  readonly head: Head;
  readonly #text: string;
  /** Letters that were looked at, and how many of the last begin the head. */
  #read = 0;
  #matched = 0;
  #found: number | undefined;

  constructor(head: Head, text: string) {
    this.head = head;
    this.#text = text;
  }

  /** Where the head stands next, not before `from`; undefined when it does not. */
  next(from: number): number | undefined {
    if (this.#found !== undefined && this.#found >= from) return this.#found;
    this.#found = undefined;
    this.#skipTo(from);
    const { text, borders } = this.head;
    while (this.#read < this.#text.length) {
      const letter = this.#text[this.#read];
      while (this.#matched > 0 && (this.#matched === text.length || text[this.#matched] !== letter))
        this.#matched = borders[this.#matched] ?? 0;
      if (text[this.#matched] === letter) this.#matched += 1;
      this.#read += 1;
      if (this.#matched === text.length) {
        const at = this.#read - text.length;
        if (at < from) continue;
        this.#found = at;
        return at;
      }
    }
    return undefined;
  }

  /** How much of the end of the text, from there on, may begin the head. All of the text has been looked at. */
  heldLength(from: number): number {
    let length = this.#matched;
    while (length > 0 && (length === this.head.text.length || length > this.#text.length - from))
      length = this.head.borders[length] ?? 0;
    return length;
  }

  #skipTo(from: number): void {
    if (from <= this.#read) return;
    this.#read = from;
    this.#matched = 0;
  }
}

/** The longest of those that stand first. */
function firstOf(scans: readonly Scan[], from: number): { readonly at: number; readonly head: Head } | undefined {
  let first: { at: number; head: Head } | undefined;
  for (const scan of scans) {
    const at = scan.next(from);
    if (at === undefined) continue;
    const isLonger = first !== undefined && at === first.at && scan.head.text.length > first.head.text.length;
    if (first === undefined || at < first.at || isLonger) first = { at, head: scan.head };
  }
  return first;
}

function bordersOf(text: string): readonly number[] {
  const borders = [0, 0];
  let length = 0;
  for (let at = 1; at < text.length; at += 1) {
    while (length > 0 && text[at] !== text[length]) length = borders[length] ?? 0;
    if (text[at] === text[length]) length += 1;
    borders.push(length);
  }
  return borders;
}

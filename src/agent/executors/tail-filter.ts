/** What buildah says last of a program that failed: the program has said it before. */
const runtimeLine =
  /(?:^|\n)(?:time="[^"]*" level=error msg="did not get container start message[^\n]*\n)?Error: while running runtime: exit status \d+\n?$/;
/** More than the line has. What follows its beginning and is longer is not it. */
const maxHeldLength = 1_024;
const beginning = 'Error: while';

/** Holds back what may be buildah's last line of a program that failed, and leaves it out at the end if it is. */
export class TailFilter {
  #held = '';

  add(chunk: Uint8Array): Uint8Array {
    const text = `${this.#held}${Buffer.from(chunk).toString('latin1')}`;
    const last = text.slice(-maxHeldLength);
    const line = Math.max(last.lastIndexOf(`\n${beginning}`), last.startsWith(beginning) ? 0 : -1);
    const at = line < 0 ? text.length : text.length - last.length + line;
    this.#held = text.slice(at);
    return Buffer.from(text.slice(0, at), 'latin1');
  }

  end(): Uint8Array {
    const rest = this.#held.replace(runtimeLine, this.#held.startsWith('\n') ? '\n' : '');
    this.#held = '';
    return Buffer.from(rest, 'latin1');
  }
}

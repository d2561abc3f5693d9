import { TaskError } from './task-error.ts';
import { isList, isMap, type TemplateValue } from './template-value.ts';

const maxSteps = 200_000;
/** Characters; what lists and maps take is counted in them too. */
const maxMade = 16 * 1024 * 1024;
const [itemCost, entryCost] = [8, 16];
const maxDepth = 64;

/** What the templates of one run may do together: steps, and what they read and make. Throws TaskError when it is used up. */
export class TemplateBudget {
  #steps = maxSteps;
  #left = maxMade;

  step(): void {
    this.#steps -= 1;
    if (this.#steps < 0) throw new TaskError('a template takes too many steps');
  }

  /** A value with all that is in it, before its text is made: one list may hold the same long text many times. */
  takeAll(value: TemplateValue, depth = 0): void {
    if (depth > maxDepth) throw new TaskError(`a template makes lists that are nested deeper than ${maxDepth}`);
    this.take(value);
    if (typeof value === 'string') this.#take(value.length);
    else if (isList(value)) for (const item of value) this.takeAll(item, depth + 1);
    else if (isMap(value)) {
      for (const [key, item] of value) {
        this.#take(key.length);
        this.takeAll(item, depth + 1);
      }
    }
  }

  /** A list or a map, but not what is in it. */
  take(value: TemplateValue): void {
    this.#take(itemCost + (isList(value) ? itemCost * value.length : isMap(value) ? entryCost * value.size : 0));
  }

  #take(count: number): void {
    this.#left -= count;
    if (this.#left < 0) throw new TaskError('the templates make more than 16 MiB of text, lists and maps');
  }
}

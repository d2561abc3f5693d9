import { type Arguments, isJsonList, type TemplateFunctions } from './arguments.ts';
import { isSame } from './list-functions.ts';

const many = Number.POSITIVE_INFINITY;

/** Functions over numbers and truth values, by lower-cased name. Source: Azure Resource Manager, "Numeric functions", "Logical functions". */
export const valueFunctions: TemplateFunctions = {
  add: (args) => whole(args, args.count(2).int(0) + args.int(1)),
  sub: (args) => whole(args, args.count(2).int(0) - args.int(1)),
  mul: (args) => whole(args, args.count(2).int(0) * args.int(1)),
  div: (args) => Math.trunc(args.count(2).int(0) / divisor(args)),
  mod: (args) => args.count(2).int(0) % divisor(args),
  min: (args) => Math.min(...numbers(args)),
  max: (args) => Math.max(...numbers(args)),
  int: (args) => toInt(args.count(1)),
  float: (args) => Number(args.count(1).plain(0)),
  bool: (args) => toFlag(args.count(1)),
  true: () => true,
  false: () => false,
  null: () => null,
  not: (args) => !args.count(1).flag(0),
  and: (args) => args.count(1, many).all.every((_, index) => args.flag(index)),
  or: (args) => args.count(1, many).all.some((_, index) => args.flag(index)),
  equals: (args) => isSame(args.count(2).value(0), args.value(1)),
  less: (args) => compared(args.count(2)) < 0,
  lessorequals: (args) => compared(args.count(2)) <= 0,
  greater: (args) => compared(args.count(2)) > 0,
  greaterorequals: (args) => compared(args.count(2)) >= 0,
};

function whole(args: Arguments, value: number): number {
  if (Number.isSafeInteger(value)) return value;
  throw args.fail('the result is too large');
}

function divisor(args: Arguments): number {
  const value = args.int(1);
  if (value === 0) throw args.fail('the divisor is 0');
  return value;
}

function numbers(args: Arguments): number[] {
  const list = args.count(1, many).all.length === 1 && isJsonList(args.value(0)) ? args.list(0) : args.all;
  if (list.length === 0) throw args.fail('there are no numbers');
  const given: number[] = [];
  for (const value of list) {
    if (typeof value !== 'number') throw args.fail('an argument is not a number');
    given.push(value);
  }
  return given;
}

function toInt(args: Arguments): number {
  const text = args.plain(0).trim();
  if (!/^[-+]?\d{1,15}$/.test(text)) throw args.fail('the argument is not a whole number');
  return Number(text);
}

function toFlag(args: Arguments): boolean {
  const value = args.value(0);
  if (typeof value === 'number') return value !== 0;
  const text = args.plain(0).toLowerCase();
  if (text === 'true' || text === '1') return true;
  if (text === 'false' || text === '0') return false;
  throw args.fail("the argument is not 'true' or 'false'");
}

function compared(args: Arguments): number {
  const [a, b] = [args.value(0), args.value(1)];
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  const [first, second] = [args.text(0), args.text(1)];
  return first < second ? -1 : first > second ? 1 : 0;
}

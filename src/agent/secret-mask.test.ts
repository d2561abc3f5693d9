import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuMsOf } from '../../test/support/cpu-time.ts';
import { SecretFinder } from '../core/secret-finder.ts';
import { SecretMask } from './secret-mask.ts';

function masked(secrets: readonly string[], ...pieces: readonly string[]): string {
  const mask = new SecretMask(new SecretFinder(secrets));
  return pieces.map((piece) => mask.add(piece)).join('') + mask.end();
}

test('a secret is hidden, however it is cut', () => {
  const text = 'before s3cret-value after';
  for (let cut = 0; cut <= text.length; cut += 1) {
    assert.equal(masked(['s3cret-value'], text.slice(0, cut), text.slice(cut)), 'before *** after');
  }
  assert.equal(masked(['s3cret-value'], ...text), 'before *** after');
});

test('what only begins like a secret is shown', () =>
  assert.equal(masked(['secret'], 'sec', 'ond', ' secre'), 'second secre'));
test('a secret inside another', () => assert.equal(masked(['abcd', 'xxabcdxx'], '-xxabcdxx-abcd'), '-***-***'));
test('lines of a secret are hidden one by one', () => {
  assert.equal(masked(['first-line\nsecond-line'], 'a first-line\nb second-line'), 'a ***\nb ***');
});
test('a short text is no secret', () => assert.equal(masked(['a', ''], 'banana'), 'banana'));
test('a long secret, however it is cut, and what follows it', () => {
  const long = `${'ab'.repeat(300)}c${'d'.repeat(400)}`;
  for (let cut = 0; cut <= long.length; cut += 7) {
    assert.equal(masked([long, 'short'], `x${long.slice(0, cut)}`, `${long.slice(cut)}y short`), 'x***y ***');
  }
});
test('the time for long secrets grows with the text alone', () => {
  const secrets = ['b', 'c', 'd'].map((letter) => `${'a'.repeat(20_000)}${letter}${'a'.repeat(20_000)}`);
  const tookMs = cpuMsOf(
    () => void masked(secrets, 'a'.repeat(60_000), 'x', `${'a'.repeat(200)}b`.repeat(300), 'x'.repeat(60_000)),
  );
  assert.ok(tookMs < 1_000, `${tookMs} ms`);
});
test('what is begun and does not go on is shown, but for what is hidden in it', () => {
  const secrets = ['abcd', 'xxabcdxxyy', 'abcdefgh'];
  for (const [text, shown] of [
    ['-xxabcdxxy-', '-xx***xxy-'],
    ['-xxabcdxx', '-xx***xx'],
    ['-xxabcdxxyy-', '-***-'],
    ['-abcdefg-', '-***efg-'],
    ['-abcdefgh-', '-***-'],
    ['abcdabcd', '******'],
  ] as const) {
    assert.equal(masked(secrets, text), shown);
    assert.equal(masked(secrets, ...text), shown);
    for (let cut = 0; cut <= text.length; cut += 1)
      assert.equal(masked(secrets, text.slice(0, cut), text.slice(cut)), shown);
  }
});
test('texts of few letters are masked as by a look at every place', () => {
  const random = lettersOf(7);
  for (let round = 0; round < 300; round += 1) {
    const secrets = [4, 5, 6, 9].map((length) => random(length));
    const text = random(60);
    const pieces = [text.slice(0, 20), text.slice(20, 21), text.slice(21, 45), text.slice(45)];
    assert.equal(masked(secrets, ...pieces).replaceAll('*', ''), leftOf(secrets, text), `${secrets} in ${text}`);
  }
});
for (const [label, lines] of [
  ['of a thousand lines', 1_000],
  ['of very many lines', 100_000],
] as const) {
  test(`the time for a secret ${label} is that for one line`, () => {
    const secret = Array.from({ length: lines }, (_each, at) => (at + 1_000_000).toString(36).padStart(6, 'z')).join(
      '\n',
    );
    const finder = new SecretFinder([secret]);
    const tookMs = cpuMsOf(() => {
      for (let chunk = 0; chunk < 10; chunk += 1) new SecretMask(finder).add('zzzzy'.repeat(13_000));
    });
    assert.ok(tookMs < 1_000, `${tookMs} ms`);
    assert.equal(new SecretMask(finder).add(`a ${secret.slice(7, 13)} b`), 'a *** b');
  });
}
test('nobody makes it slow who chooses letters by where a table with known factors has them', () => {
  const secret = crowdedLetters(40_000);
  const tookMs = cpuMsOf(() => void new SecretFinder([secret]));
  assert.ok(tookMs < 500, `${tookMs} ms`);
});
test('many secrets that all begin with another letter take no longer than others', () => {
  const secrets = Array.from({ length: 50_000 }, (_each, at) => String.fromCharCode(at + 500).repeat(5));
  const tookMs = cpuMsOf(() => new SecretMask(new SecretFinder(secrets)).add(secrets.join('')));
  assert.ok(tookMs < 1_000, `${tookMs} ms`);
});
test('a secret that is learned later is hidden from then on, also where it has begun', () => {
  const known = ['first', 'abcd', 'abcdefgh'];
  for (const [before, after, shown] of [
    ['a fir', 'mly b', 'a *** b'],
    ['a fir', 'st b', 'a *** b'],
    ['a ', 'firmly, first', 'a ***, ***'],
    ['a ', 'firm', 'a firm'],
    ['-abcd', 'efgh-', '-***-'],
    ['-firm', 'ly', '-firmly'],
  ] as const) {
    const mask = new SecretMask(new SecretFinder(known));
    const first = mask.add(before);
    mask.learn(new SecretFinder([...known, 'firmly']));
    assert.equal(`${first}${mask.add(after)}${mask.end()}`, shown, `${before}|${after}`);
  }
});
test('learning nothing new changes nothing', () => {
  const random = lettersOf(11);
  for (let round = 0; round < 300; round += 1) {
    const secrets = [4, 5, 6, 9].map((length) => random(length));
    const text = random(40);
    const cuts = [text.slice(0, 13), text.slice(13, 14), text.slice(14, 27), text.slice(27)];
    const mask = new SecretMask(new SecretFinder(secrets));
    const shown = cuts.map((piece) => {
      const part = mask.add(piece);
      mask.learn(new SecretFinder(secrets));
      return part;
    });
    assert.equal(`${shown.join('')}${mask.end()}`, masked(secrets, ...cuts), `${secrets} in ${text}`);
  }
});

/** Letters whose states share one part in a thousand of a table, by factors that were once those of the finder. */
function crowdedLetters(length: number): string {
  const mask = 2 ** Math.ceil(Math.log2((length + 1) * 2)) - 1;
  const slotOf = (state: number, letter: number) => {
    const hash = Math.imul(Math.imul(state, 0x9e3779b1) ^ Math.imul(letter + 1, 0x85ebca6b), 0xc2b2ae35);
    return (hash ^ (hash >>> 15)) & mask;
  };
  const letters = Array.from({ length }, (_each, state) => {
    let letter = 0x3001;
    while (letter < 0xd7ff && slotOf(state, letter) > mask / 1_000) letter += 1;
    return String.fromCharCode(letter);
  });
  return letters.join('');
}
/** Letters a and b by a linear congruence: the same ones each time. */
function lettersOf(seed: number): (length: number) => string {
  let state = seed;
  const letter = () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state > 2 ** 30 ? 'a' : 'b';
  };
  return (length) => Array.from({ length }, letter).join('');
}

/** What is in no secret. */
function leftOf(secrets: readonly string[], text: string): string {
  const isHidden = (at: number) =>
    secrets.some((secret) => [...secret].some((_letter, before) => text.startsWith(secret, at - before)));
  return [...text].filter((_letter, at) => !isHidden(at)).join('');
}

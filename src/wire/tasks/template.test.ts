import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { cpuMsOf } from '../../../test/support/cpu-time.ts';
import { TaskError } from './task-error.ts';
import { renderTemplate } from './template.ts';
import { TemplateBudget } from './template-budget.ts';
import { templateValueOf } from './template-value.ts';

const data = templateValueOf({
  Run: { ID: 'ca1', Registry: 'r.example' },
  Values: { name: 'app', list: ['a', 'b'], nested: { deep: 'x' }, evil: '{{.Run.ID}}', zero: 0 },
});
const now = new Date('2026-11-21T16:05:09.123Z');
const render = (text: string) => renderTemplate(text, data, { now, budget: new TemplateBudget() });

const good: readonly [string, string][] = [
  ['plain $x text', 'plain $x text'],
  ['{{.Run.Registry}}/{{ .Values.name }}:{{.Run.ID}}', 'r.example/app:ca1'],
  ['[{{.Missing}}{{.Missing.Deep.Er}}{{.Run.ID.No}}]', '[]'],
  ['{{.Values.nested.deep}}', 'x'],
  ['{{.Values.evil}}', '{{.Run.ID}}'],
  ['a {{- " b " -}} c', 'a b c'],
  ['{{/* nothing }} here */}}x', 'x'],
  ['{{if .Values.name}}yes{{else}}no{{end}}', 'yes'],
  ['{{if .Values.zero}}a{{else if eq .Run.ID "ca1"}}b{{else}}c{{end}}', 'b'],
  ['{{with .Values.nested}}{{.deep}}{{$.Run.ID}}{{end}}', 'xca1'],
  ['{{range .Values.list}}<{{.}}>{{end}}', '<a><b>'],
  ['{{range $i, $v := .Values.list}}{{$i}}={{$v}};{{end}}', '0=a;1=b;'],
  ['{{range .Values.none}}x{{else}}none{{end}}', 'none'],
  ['{{$x := "a"}}{{if true}}{{$x = "b"}}{{end}}{{$x}}', 'b'],
  ['{{.Run.ID | upper | quote}}', '"CA1"'],
  ['{{default "d" .Values.none}}{{ .Values.none | default "e" }}', 'de'],
  ['{{printf "%s-%03d" .Run.ID 7}}', 'ca1-007'],
  ['{{(index .Values.list 1) | upper}}', 'B'],
  ['{{"a,b" | splitList "," | join "+"}}', 'a+b'],
  ['{{b64enc .Missing}}|{{b64enc "hi"}}', '|aGk='],
  ['{{now | date "20060102-150405"}}', '20261121-160509'],
  ['{{`raw "x" }}`}}', 'raw "x" }}'],
  ['{{add 1 2 3}} {{sub 5 2}} {{mod 7 4}}', '6 3 3'],
  ['{{trimSuffix ".git" "a.git"}} {{replace "a" "b" "aa"}} {{trunc 2 "abc"}}', 'a bb ab'],
  ['{{.Values.constructor}}{{.Values.__proto__}}', ''],
  ['{{and .Values.name "x"}} {{or .Values.zero "y"}} {{not true}}', 'x y false'],
  ['{{toJson .Values.list}}', '["a","b"]'],
  ['{{dict "a" 1 | keys | first}}', 'a'],
  ['{{ternary "a" "b" true}}', 'a'],
];

const bad: readonly [string, string][] = [
  ['an open action', '{{.Run.ID'],
  ['an if without an end', '{{if true}}x'],
  ['an end without a beginning', 'x{{end}}'],
  ['an unknown function', '{{env "HOME"}}'],
  ['code', '{{constructor.constructor("return 1")()}}'],
  ['a template definition', '{{define "x"}}{{end}}'],
  ['a variable that nobody made', '{{$y}}'],
  ['a text without end', '{{repeat 100000000 "x"}}'],
  [
    'many long texts',
    '{{$m := dict}}{{range until 2000}}{{$m = set $m (toString .) (repeat 4000000 "a" | upper)}}{{end}}',
  ],
  ['many long quoted texts', '{{$x := repeat 4000000 "a"}}{{range until 50}}{{$y := quote $x}}{{end}}'],
  ['a text that grows with each escape', '{{repeat 4000000 "%" | urlquery | urlquery | urlquery}}'],
  ['a list of one long text', '{{$x := repeat 4000000 "a"}}{{list $x $x $x $x $x $x | toString}}'],
  ['a list that doubles', '{{$x := list 1}}{{range until 100}}{{$x = list $x $x}}{{end}}{{$x}}'],
  ['a message that doubles', '{{$x := list 1}}{{range until 100}}{{$x = list $x $x}}{{end}}{{required $x ""}}'],
  ['a list in a list in a list', '{{$x := list 1}}{{range until 20000}}{{$x = list $x}}{{end}}{{$x}}'],
  ['long texts between the parts of a list', '{{join (repeat 1000000 "a") (until 90000)}}'],
  ['long texts between the signs of another', '{{replace "" (repeat 1000000 "a") (repeat 1000000 "a")}}'],
  ['wide columns', '{{printf (repeat 100000 "%999s")}}'],
  ['deep indents of many lines', '{{indent 1000 (repeat 1000000 "\\n")}}'],
  ['a long text that is sought', '{{contains (repeat 1000000 "a") (repeat 2000000 "a")}}'],
  ['a text in very many parts', '{{$x := split "" (repeat 4000000 "a")}}'],
  [
    'a long text that is compared with each item',
    '{{has (repeat 4000000 "a") (list (repeat 4000000 "a") (repeat 4000000 "b"))}}',
  ],
  ['a list as a key', '{{get .Values (until 10)}}'],
  ['a list without end', '{{until 100000000}}'],
  ['work without end', '{{range until 90000}}{{range until 90000}}{{.}}{{end}}{{end}}'],
  ['division by zero', '{{div 1 0}}'],
  ['an open quote', '{{"a}}'],
  ['deep nesting', `{{${'('.repeat(100)}1${')'.repeat(100)}}}`],
  ['many open ifs', '{{if true}}'.repeat(100)],
];

describe('templates', () => {
  for (const [text, rendered] of good) {
    test(`${text} gives ${JSON.stringify(rendered)}`, () => assert.equal(render(text), rendered));
  }
  test('a map that is made in a loop', () =>
    assert.equal(render('{{$m := dict}}{{range until 500}}{{$m = set $m (toString .) .}}{{end}}{{len $m}}'), '500'));
  test('all templates of a run share what they may make', () => {
    const surroundings = { now, budget: new TemplateBudget() };
    const one = () => renderTemplate('{{repeat 3000000 "a"}}', data, surroundings);
    one();
    assert.throws(() => [one(), one()], TaskError);
  });
  for (const [label, text] of [
    ['that do not end', '{{/* }}'.repeat(150_000)],
    ['that end with the text', `${'{{/* }}'.repeat(150_000)}*/`],
    ['that end', '{{/* }} */}}'.repeat(80_000)],
  ] as const) {
    test(`the time for comments ${label} grows with the text alone`, () => {
      const tookMs = cpuMsOf(() => assert.equal(render(text).replaceAll('*/', ''), ''));
      assert.ok(tookMs < 3_000, `${tookMs} ms`);
    });
  }
  for (const [label, text] of bad) {
    test(`${label} is refused`, () => assert.throws(() => render(text), TaskError));
  }
});

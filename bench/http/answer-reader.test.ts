import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Answer, AnswerReader, headerOf } from './answer-reader.ts';

const cases = [
  { name: 'a body of known length', bytes: 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', body: 'hello' },
  { name: 'no body', bytes: 'HTTP/1.1 204 No Content\r\nX: y\r\n\r\n', body: '' },
  {
    name: 'chunks',
    bytes: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;a=b\r\nlo\r\n0\r\n\r\n',
    body: 'hello',
  },
  {
    name: 'an interim answer before the real one',
    bytes: 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok',
    body: 'ok',
  },
];

function read(text: string, pieceBytes: number): Answer | undefined {
  const reader = new AnswerReader();
  reader.start(true, true);
  for (let at = 0; at < text.length; at += pieceBytes) {
    const answer = reader.push(Buffer.from(text.slice(at, at + pieceBytes)));
    if (answer !== undefined) return at + pieceBytes >= text.length ? answer : undefined;
  }
  return undefined;
}

for (const { name, bytes, body } of cases) {
  test(`reads ${name}, however the bytes are cut`, () => {
    for (let pieceBytes = 1; pieceBytes <= bytes.length; pieceBytes++) {
      const answer = read(bytes, pieceBytes);
      assert.equal(answer?.body.toString(), body, `pieces of ${pieceBytes}`);
      assert.equal(answer?.bodyBytes, body.length);
    }
  });
}

test('the answer to HEAD has no body whatever its length says', () => {
  const reader = new AnswerReader();
  reader.start(false, false);
  const answer = reader.push(Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDocker-Content-Digest: d\r\n\r\n'));
  assert.equal(answer?.bodyBytes, 0);
  assert.equal(answer === undefined ? undefined : headerOf(answer, 'docker-content-digest'), 'd');
});

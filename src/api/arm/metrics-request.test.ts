import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BerthError } from '../../core/errors.ts';
import { parseMetricsRequest } from './metrics-request.ts';

const now = Date.UTC(2030, 0, 31, 12) * 1_000;
const hour = 3_600_000_000;

function parse(query: Readonly<Record<string, string>>) {
  return parseMetricsRequest((name) => query[name], now);
}

test('what az sends is read: it encodes the time span twice, and says no zone', () => {
  const { metrics, ...asked } = parse({
    timespan: '2030-01-31T09%3A18%3A34.931752%2F2030-01-31T10%3A18%3A34.931752',
    interval: 'PT1M',
    metricnames: 'TotalPullCount,storageused',
    aggregation: 'Total,Count',
    $filter: "Geolocation eq '*'",
    metricnamespace: 'Microsoft.ContainerRegistry/registries',
    top: '10',
  });
  assert.deepEqual(
    metrics.map(({ name }) => name),
    ['TotalPullCount', 'StorageUsed'],
  );
  const fromMicros = Date.UTC(2030, 0, 31, 9, 18, 34, 931) * 1_000;
  assert.deepEqual(asked, {
    aggregations: ['Total', 'Count'],
    fromMicros,
    toMicros: fromMicros + hour,
    intervalMicros: 60_000_000,
    geolocation: '*',
    isMetadataOnly: false,
  });
});

test('what is left out: the last hour, by the minute, of the first metric', () => {
  const { metrics, fromMicros, toMicros, intervalMicros, aggregations } = parse({});
  assert.deepEqual(
    [metrics.map(({ name }) => name), fromMicros, toMicros, intervalMicros, aggregations],
    [['StorageUsed'], now - hour, now, 60_000_000, undefined],
  );
  assert.equal(parse({ interval: 'FULL' }).intervalMicros, undefined);
});

for (const [name, query, pattern] of [
  ['an unknown metric', { metricnames: 'Nope' }, /metric: Nope, Valid metrics: StorageUsed,/],
  ['another interval', { interval: 'PT7M' }, /'PT7M' is none of PT1M/],
  ['another aggregation', { aggregation: 'Median' }, /'Median' is none of Average/],
  ['half a time span', { timespan: '2030-01-31T09:00:00Z' }, /not of the form/],
  ['a time span that is none', { timespan: 'a/b' }, /not of the form/],
  ['a stray percent sign', { timespan: '%/%' }, /not of the form/],
  ['a time span that ends first', { timespan: '2030-01-31T09:00:00Z/2030-01-31T08:00:00Z' }, /before it begins/],
  ['more than is kept', { timespan: '2029-01-01T00:00:00Z/2030-01-31T08:00:00Z' }, /93 days/],
  ['too many intervals', { timespan: '2030-01-01T00:00:00Z/2030-01-31T08:00:00Z' }, /longer interval/],
  ['a filter on nothing', { $filter: "Color eq 'red'" }, /not of the form Geolocation/],
  ['a filter that the metric has not', { metricnames: 'TotalPullCount', $filter: "Geolocation eq '*'" }, /no metric/],
  ['another namespace', { metricnamespace: 'Microsoft.Web/sites' }, /does not exist here/],
] as const)
  test(`${name} is refused, and what would do is named`, () => {
    assert.throws(
      () => parse(query),
      (error) => error instanceof BerthError && pattern.test(JSON.stringify(error.detail)),
    );
  });

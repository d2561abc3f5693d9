import type { Hono } from 'hono';
import { identityEndpoint } from './api/identity/identity-endpoint.ts';
import { answerWith } from './api/middleware/answer.ts';
import type { Env } from './api/middleware/env.ts';
import { metricsApp } from './api/middleware/health-routes.ts';
import type { Part } from './api/middleware/host-name.ts';
import { type HttpServers, type Listener, startHttpServers } from './api/middleware/http-servers.ts';
import type { Metrics } from './api/middleware/metrics.ts';
import type { Features } from './compose-features.ts';
import { createMachineSignIn } from './features/identity/machine-sign-in.ts';
import { SettingsError } from './load-settings.ts';
import type { Data } from './open-data.ts';
import type { Certificates } from './platform/certificates/certificates.ts';
import { systemClock as clock } from './platform/system-clock.ts';
import { memoryGuard, memoryLimitOf, sheddingLoad } from './process-memory.ts';
import type { Settings } from './settings.ts';

const stopGraceMs = 30_000;

/** Throws SettingsError when nobody could reach the server. */
export function refuseToHide({ http, https, management }: Settings): void {
  if (http === undefined && https === undefined && management === undefined)
    throw new SettingsError('http and https are none: nobody could reach the server; give one of them an address');
}

/** Answers on every listener of the settings. Stops accepting and finishes what is in flight when disposed. */
export async function listen(
  settings: Settings,
  appOf: (part?: Part) => Hono<Env>,
  metrics: Metrics,
  certificates: Certificates,
): Promise<AsyncDisposable> {
  const { http, https, management } = settings;
  const guard = memoryGuard(memoryLimitOf(settings), clock);
  const started: { readonly servers: HttpServers; readonly graceMs: number }[] = [];
  const start = async (listeners: readonly Listener[], app: Hono<Env>, graceMs: number) => {
    started.push({
      servers: await startHttpServers({ listeners, answer: sheddingLoad(answerWith(app), guard, clock), clock }),
      graceMs,
    });
  };
  // Together, so that the grace of one is not added to that of the next.
  const stop = async () => {
    await Promise.all(started.map(({ servers, graceMs }) => servers.stop(graceMs)));
  };
  const main = [
    ...(http ? [{ ...http, setting: 'http' }] : []),
    ...(https ? [{ ...https, setting: 'https', certificates }] : []),
  ];
  try {
    await start(main, appOf(management && 'registry'), stopGraceMs);
    if (management)
      await start([{ ...management, setting: 'management', certificates }], appOf('control'), stopGraceMs);
    if (settings.metrics) await start([{ ...settings.metrics, setting: 'metrics' }], metricsApp(metrics), 0);
  } catch (error) {
    await stop();
    throw error;
  }
  return { [Symbol.asyncDispose]: stop };
}

/** The endpoint of managed identities, where it is switched on. */
export async function listenForIdentities(
  settings: Settings,
  data: Data,
  features: Features,
  metrics: Metrics,
): Promise<AsyncDisposable> {
  const { identityEndpoint: listener, domain } = settings;
  const parts = { ...data, ...features, metrics, domain };
  const servers =
    listener &&
    (await startHttpServers({
      listeners: [{ ...listener, setting: 'identity-endpoint' }],
      answer: answerWith(
        identityEndpoint({ ...parts, machineSignIn: createMachineSignIn(parts), host: listener.host }),
      ),
      clock,
    }));
  return { [Symbol.asyncDispose]: async () => await servers?.stop(stopGraceMs) };
}

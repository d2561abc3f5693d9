import { z } from 'zod';
import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import { BegunSignIns } from './begun-sign-ins.ts';
import { newSecret } from './new-secret.ts';
import { createFindStanding, type FindStanding } from './principal-store.ts';
import { keepSignIn, resumeSignIn, signedInSchema } from './sign-in-sessions.ts';
import {
  findStateForUpdate,
  insertState,
  requireRoom,
  stateKey,
  takeState,
  updateState,
} from './sign-in-state-store.ts';
import type { SignedIn } from './tenant-tokens.ts';

export const deviceCodeSeconds = 900;
export const devicePollSeconds = 5;
/** Of the interval between two questions, what clocks and networks may take away. */
const pollSlackMicros = 1_000_000;
/** No vowels and nothing that looks like another. Source: RFC 8628, section 6.1. */
const letters = 'BCDFGHJKLMNPQRSTVWXZ';
const userCodeLength = 8;

const deviceSchema = z.object({
  clientId: z.string(),
  scope: z.string(),
  userCodeKey: z.string(),
  polledAt: z.int(),
  outcome: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('pending') }),
    z.object({ kind: z.literal('declined') }),
    z.object({ kind: z.literal('approved'), by: signedInSchema }),
  ]),
});
type Device = z.infer<typeof deviceSchema>;

export type BegunDevice = { readonly deviceCode: string; readonly userCode: string };

/** Sign-in of a device without a browser: a person enters its code elsewhere. Source: RFC 8628. */
export class DeviceCodes {
  readonly #parts: { readonly database: Database; readonly clock: Clock; readonly ids: Ids };
  readonly #findStanding: FindStanding;
  readonly #begun: BegunSignIns;

  constructor(parts: { readonly database: Database; readonly clock: Clock; readonly ids: Ids }) {
    this.#parts = parts;
    this.#findStanding = createFindStanding(parts.database.read);
    this.#begun = new BegunSignIns(parts.clock);
  }

  /** `scope` is what the client asks for now: it does not say so again. Throws `tooManyRequests`. */
  async begin(clientId: string, scope: string, address: string): Promise<BegunDevice> {
    const { database, clock, ids } = this.#parts;
    this.#begun.count(address);
    const begun = { deviceCode: newSecret(ids), userCode: newUserCode(ids) };
    const nowMicros = clock.nowMicros();
    const expiresAtMicros = nowMicros + deviceCodeSeconds * 1_000_000;
    const [deviceKey, userCodeKey] = [stateKey('device', begun.deviceCode), stateKey('userCode', begun.userCode)];
    const device: Device = { clientId, scope, userCodeKey, polledAt: 0, outcome: { kind: 'pending' } };
    await database.transaction(async (tx) => {
      await requireRoom(tx, 'device', nowMicros);
      const pointer = { payload: deviceKey, expiresAtMicros };
      if (!(await insertState(tx, userCodeKey, pointer, nowMicros))) throw new BerthError('tooManyRequests');
      await insertState(tx, deviceKey, { payload: JSON.stringify(device), expiresAtMicros }, nowMicros);
    });
    return begun;
  }

  /** What the person says who entered the code; undefined declines. Throws `deviceExpired` for a code nobody waits for. */
  async decide(userCode: string, by: SignedIn | undefined): Promise<void> {
    const { database, clock } = this.#parts;
    const nowMicros = clock.nowMicros();
    await database.transaction(async (tx) => {
      const deviceKey = await takeState(tx, stateKey('userCode', normalUserCode(userCode)), nowMicros);
      const state = deviceKey && (await findStateForUpdate(database.kind, tx, deviceKey, nowMicros));
      if (!deviceKey || !state) throw new BerthError('deviceExpired');
      const device = deviceSchema.parse(JSON.parse(state.payload));
      const outcome: Device['outcome'] =
        by === undefined
          ? { kind: 'declined' }
          : { kind: 'approved', by: keepSignIn({ ...by, clientId: device.clientId }) };
      await updateState(tx, deviceKey, { ...state, payload: JSON.stringify({ ...device, outcome }) });
    });
  }

  /** Who approved it, once. Throws `devicePending`, `deviceTooFast`, `deviceDeclined` and `deviceExpired`. */
  async poll(deviceCode: string, clientId: string): Promise<{ readonly who: SignedIn; readonly scope: string }> {
    const device = await this.#ask(stateKey('device', deviceCode), clientId);
    switch (device?.outcome.kind) {
      case 'pending':
        throw new BerthError('devicePending');
      case 'declined':
        throw new BerthError('deviceDeclined');
      case 'approved': {
        const { clock } = this.#parts;
        const who = await resumeSignIn({ findStanding: this.#findStanding, clock }, device.outcome.by);
        if (who === undefined) throw new BerthError('deviceExpired');
        return { who, scope: device.scope };
      }
      default:
        throw new BerthError('deviceExpired');
    }
  }

  async #ask(key: string, clientId: string): Promise<Device | undefined> {
    const { database, clock } = this.#parts;
    const nowMicros = clock.nowMicros();
    return await database.transaction(async (tx) => {
      const state = await findStateForUpdate(database.kind, tx, key, nowMicros);
      const device = state && deviceSchema.parse(JSON.parse(state.payload));
      if (state === undefined || device?.clientId !== clientId) return undefined;
      if (device.outcome.kind !== 'pending') {
        await takeState(tx, key, nowMicros);
        return device;
      }
      if (nowMicros - device.polledAt < devicePollSeconds * 1_000_000 - pollSlackMicros)
        throw new BerthError('deviceTooFast');
      await updateState(tx, key, { ...state, payload: JSON.stringify({ ...device, polledAt: nowMicros }) });
      return device;
    });
  }
}

/** As it was made: people type it in small letters and with hyphens. */
function normalUserCode(text: string): string {
  return text
    .replaceAll(/[\s-]/g, '')
    .toUpperCase()
    .slice(0, userCodeLength * 2);
}

function newUserCode(ids: Ids): string {
  let code = '';
  while (code.length < userCodeLength) {
    // 240 is the largest multiple of 20 in a byte: above it letters would not be equally likely.
    for (const byte of ids.bytes(userCodeLength)) if (byte < 240) code += letters.charAt(byte % letters.length);
  }
  return code.slice(0, userCodeLength);
}

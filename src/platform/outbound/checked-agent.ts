import { lookup as systemLookup } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import { getCACertificates } from 'node:tls';
import { Agent, buildConnector, type Dispatcher } from 'undici';
import type { AddressCheck } from './address-check.ts';
import { OutboundError } from './outbound-error.ts';
import { hostNameOf } from './outbound-url.ts';

/** All addresses of a host name. */
export type Resolve = (hostName: string) => Promise<readonly { readonly address: string; readonly family: number }[]>;

export type Target = { readonly host: string; readonly port: number };

export type AgentOptions = {
  readonly isAllowed: AddressCheck;
  /** Where the operator sends calls to a name instead; these targets are not checked. */
  readonly hosts: ReadonlyMap<string, Target>;
  /** PEM certificates to trust beside the public ones. */
  readonly ca: readonly string[];
  readonly resolve?: Resolve;
  /** To one origin at once; 64 unless given. */
  readonly connections?: number;
};

const connectTimeoutMs = 10_000;
const defaultConnections = 64;
/** A connection reads nothing ahead: what nobody asks for yet waits in the system's buffers, not in memory of ours. */
const readAheadBytes = 0;

/** The system's resolver, which knows the hosts file. */
const resolveBySystem: Resolve = (hostName) => systemLookup(hostName, { all: true, verbatim: true });

/** A connection pool that connects to checked addresses alone: each name is resolved once, and what was checked is what is called. */
export function createCheckedAgent(options: AgentOptions): Dispatcher {
  const { isAllowed, hosts, ca, resolve = resolveBySystem, connections = defaultConnections } = options;
  const trust = ca.length === 0 ? {} : { ca: [...getCACertificates(), ...ca] };
  const connecting = { timeout: connectTimeoutMs, allowH2: false, highWaterMark: readAheadBytes, ...trust };
  const toChosen = buildConnector(connecting);
  const toChecked = buildConnector({ ...connecting, lookup: checkedLookup(isAllowed, resolve) });
  const agent = new Agent({
    connections,
    connect: (target, done) => {
      const name = hostNameOf(target.hostname);
      const chosen = hosts.get(name);
      if (chosen !== undefined) toChosen({ ...target, hostname: chosen.host, port: String(chosen.port) }, done);
      else if (isIP(name) !== 0 && !isAllowed(name)) done(blocked(), null);
      else toChecked(target, done);
    },
  });
  return agent.compose(withoutRawHeaders);
}

/**
 * undici keeps an answer's headers also as they came, for as long as its body lasts, and with them the memory of the whole read that they
 * came in: up to 64 KiB. They are let go of once they are parsed.
 */
const withoutRawHeaders: Dispatcher.DispatchInterceptor = (dispatch) => (options, handler) => {
  const { onResponseStart } = handler;
  handler.onResponseStart = (controller, ...head) => {
    onResponseStart?.call(handler, controller, ...head);
    controller.rawHeaders = null;
  };
  return dispatch(options, handler);
};

/** A name with one address that is not allowed is refused as a whole: a public name has no reason to point inside. */
function checkedLookup(isAllowed: AddressCheck, resolve: Resolve): LookupFunction {
  return (hostName, options, done) => {
    resolve(hostName).then(
      (found) => {
        const [first] = found;
        if (first === undefined) done(new OutboundError('failed', 'the host name has no address'), '');
        else if (!found.every(({ address }) => isAllowed(address))) done(blocked(), '');
        else if (options.all === true) done(null, [...found]);
        else done(null, first.address, first.family);
      },
      (cause: unknown) => done(new OutboundError('failed', 'the host name was not found', { cause }), ''),
    );
  };
}

function blocked(): OutboundError {
  return new OutboundError('blocked', 'the address is not allowed');
}

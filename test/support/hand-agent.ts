import { type AgentClient, createAgentClient } from '../../src/client/agent-client.ts';
import { newAgentTokenSchema } from '../../src/wire/admin/agent-token-schema.ts';
import type { RunOrder, RunResult } from '../../src/wire/builds/agent-protocol.ts';
import type { BerthServer } from './berth-server.ts';

const done: RunResult = { status: 'Succeeded', images: [], dependencies: [] };

/** A build agent in the hands of a test: it takes runs over the real protocol, and the test says what becomes of them. */
export class HandAgent {
  readonly client: AgentClient;
  readonly #name: string;

  private constructor(client: AgentClient, name: string) {
    this.client = client;
    this.#name = name;
  }

  static async join(server: BerthServer, name = 'hand-1'): Promise<HandAgent> {
    const { userName, password } = server.bootstrap.owner;
    const answer = await fetch(`${server.http}/admin/agent-tokens`, {
      method: 'POST',
      headers: { Authorization: `Basic ${Buffer.from(`${userName}:${password}`).toString('base64')}` },
      body: JSON.stringify({ pool: 'default' }),
    });
    const { token } = newAgentTokenSchema.parse(await answer.json());
    return new HandAgent(createAgentClient({ origin: server.http, token, fetch, timeoutMs: 60_000 }), name);
  }

  /** The next run; waits for one. */
  async take(): Promise<RunOrder> {
    const signal = AbortSignal.timeout(120_000);
    while (true) {
      const order = await this.client.lease(
        {
          agent: this.#name,
          executor: 'hand',
          isolation: 'none',
          platforms: [{ os: 'linux', architecture: 'amd64' }],
        },
        signal,
      );
      if (order !== undefined) return order;
    }
  }

  /** Says everything a run has to say and ends it. */
  async finish({ lease, runId, logOffset }: RunOrder, lines: readonly string[], result = done): Promise<void> {
    const last = result.status === 'Succeeded' ? `Run ID: ${runId} was successful after 1s` : `Run ID: ${runId} failed`;
    await this.client.log(lease, logOffset, Buffer.from([...lines, last].map((line) => `${line}\n`).join('')));
    await this.client.finish(lease, result);
  }

  /** The files of a run, packed as they came. */
  async files({ lease }: RunOrder): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of await this.client.context(lease, AbortSignal.timeout(60_000))) chunks.push(chunk);
    return Buffer.concat(chunks);
  }
}

/** The server refused or failed. `status` is HTTP's; `code` the catalogue's; `remedy` what would help. */
export class ClientError extends Error {
  readonly status: number;
  readonly code: string;
  readonly remedy: string;
  readonly correlationId: string | undefined;

  constructor(answer: {
    readonly request: string;
    readonly status: number;
    readonly code: string;
    readonly message: string;
    readonly remedy: string;
    readonly detail?: unknown;
    readonly correlationId: string | undefined;
  }) {
    super(`${answer.request}: ${answer.message}${about(answer.detail)} (${answer.status} ${answer.code})`);
    this.name = 'ClientError';
    this.status = answer.status;
    this.code = answer.code;
    this.remedy = answer.remedy;
    this.correlationId = answer.correlationId;
  }

  /** Whether the same request may succeed later. */
  get canRetry(): boolean {
    return this.status === 429 || this.status === 503;
  }
}

function about(detail: unknown): string {
  if (detail === undefined) return '';
  return `: ${typeof detail === 'string' ? detail : JSON.stringify(detail)}`;
}

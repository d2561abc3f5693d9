import type { Circumstances } from '../access/decision.ts';

/** The call of an agent, for what is done in its name with the rights of a run. */
export type AgentCall = Pick<Circumstances, 'address' | 'correlationId' | 'userAgent'>;

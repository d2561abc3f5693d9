import { z } from 'zod';

const json: z.ZodType<z.core.util.JSONType> = z.json();
const headers = z.record(z.string(), z.string());

/** One request of `az` and its answer. Values that change from server to server are placeholders such as `{subscriptionId}`. */
export const exchangeSchema = z.object({
  request: z.object({
    method: z.string(),
    /** With its query, as it was sent. */
    path: z.string(),
    headers,
    /** JSON as a value, a form as an object in `form`, anything else as text. */
    body: z.union([z.object({ json }), z.object({ form: headers }), z.object({ text: z.string() })]).exactOptional(),
  }),
  answer: z.object({ status: z.int(), headers, body: json.exactOptional() }),
});
export type Exchange = z.infer<typeof exchangeSchema>;

/** A command, what it printed as JSON, and its exchanges in order. */
export const commandSchema = z.object({
  command: z.string(),
  printed: json.exactOptional(),
  exchanges: z.array(exchangeSchema),
});
export type RecordedCommand = z.infer<typeof commandSchema>;

export const recordingSchema = z.object({ version: z.string(), commands: z.array(commandSchema) });
export type Recording = z.infer<typeof recordingSchema>;

/** Headers that a server may act on, and those that `az` acts on. */
export const requestHeaders = ['accept', 'authorization', 'content-type', 'if-match', 'if-none-match'];
export const answerHeaders = ['azure-asyncoperation', 'content-type', 'location', 'retry-after', 'www-authenticate'];

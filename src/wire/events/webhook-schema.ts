import { z } from 'zod';

/** Header names that a request sets itself, or that would let one answer for another. */
const keptNames =
  /^(host|content-length|transfer-encoding|connection|upgrade|te|trailer|expect|keep-alive|proxy-.*|webhook-.*)$/i;

const headerName = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/;
const headerValue = /^[\x20-\x7e\t]{0,4096}$/;
const maxHeaders = 50;

export const customHeadersSchema = z.record(z.string(), z.string()).superRefine((headers, context) => {
  const entries = Object.entries(headers);
  if (entries.length > maxHeaders) context.addIssue(`at most ${maxHeaders} headers can be set`);
  for (const [name, value] of entries) {
    const path = [name];
    if (!headerName.test(name)) context.addIssue({ code: 'custom', path, message: 'this is no name of a header' });
    else if (keptNames.test(name))
      context.addIssue({ code: 'custom', path, message: 'this header belongs to the delivery itself' });
    else if (!headerValue.test(value))
      context.addIssue({ code: 'custom', path, message: 'a header has visible ASCII characters only, at most 4096' });
  }
});

/** An http or https address without a password. */
export const serviceUriSchema = z
  .string()
  .max(2048)
  .refine(isServiceUri, 'an http or https address without a password is needed');

/**
 * What can be set of a webhook; `scope` and `actions` are checked by the feature.
 * Source: Microsoft.ContainerRegistry/registries/webhooks.
 */
export const webhookPropertiesSchema = z.object({
  serviceUri: serviceUriSchema.nullish(),
  customHeaders: customHeadersSchema.nullish(),
  status: z
    .string()
    .transform((text) => text.toLowerCase())
    .pipe(z.enum(['enabled', 'disabled']))
    .nullish(),
  scope: z.string().nullish(),
  actions: z.array(z.string()).nullish(),
});

/** Body of `POST …/replay`: without an id, everything that was given up. */
export const webhookReplaySchema = z.object({ eventId: z.string().max(64).nullish() });

function isServiceUri(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '';
}

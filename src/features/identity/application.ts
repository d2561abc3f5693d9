import { z } from 'zod';

const platform = z.looseObject({ redirectUris: z.array(z.string()).exactOptional() });

/** What of an application's properties we act on; the rest is kept and shown. Source: Microsoft Graph, resource type application. */
export const applicationPropertiesSchema = z.looseObject({
  identifierUris: z.array(z.string()).exactOptional(),
  web: platform.exactOptional(),
  spa: platform.exactOptional(),
  publicClient: platform.exactOptional(),
});
export type ApplicationProperties = z.infer<typeof applicationPropertiesSchema>;

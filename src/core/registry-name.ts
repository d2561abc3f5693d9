import { BerthError } from './errors.ts';

declare const registryNameBrand: unique symbol;
/** A checked registry name as its creator spelled it; compared in lower case (`registryKey`). */
export type RegistryName = string & { readonly [registryNameBrand]: true };

/** Names that hosts of the installation itself use (house plan, "Hosts"). */
export const reservedRegistryNames: readonly string[] = [
  'management',
  'login',
  'portal',
  'graph',
  'admin',
  'blob',
  'data',
  'geo',
  'localhost',
  'berth',
  'agent',
  'events',
  'metrics',
];

/** Throws `registryNameInvalid`. Source: Microsoft.ContainerRegistry/registries, 5 to 50 letters and digits. */
export function parseRegistryName(text: string): RegistryName {
  if (isRegistryName(text)) return text;
  throw new BerthError('registryNameInvalid', { name: text.slice(0, 50) });
}

function isRegistryName(text: string): text is RegistryName {
  return /^[a-zA-Z0-9]{5,50}$/.test(text) && !reservedRegistryNames.includes(registryKey(text));
}

/** The form in which registry names are compared and which stands in host names. */
export function registryKey(name: string): string {
  return name.toLowerCase();
}

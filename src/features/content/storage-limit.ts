import { parseByteSize } from '../../core/byte-size.ts';
import type { Sku } from '../registries/registry.ts';
import { skuLimits } from '../registries/sku-limits.ts';

/**
 * Reads how much registries of a SKU may have in use, in bytes: `included` in its price, as `az acr show-usage` shows it;
 * `largest`, above which ACR lets none of the SKU grow; or a size. Throws RangeError for anything else.
 * Source: ACR semantics, SKUs and limits, 2.1.
 */
export function parseStorageLimit(sku: Sku): (text: string) => number {
  const { includedBytes, maxBytes } = skuLimits[sku];
  return (text) => {
    if (text === 'included') return includedBytes;
    if (text === 'largest') return maxBytes;
    try {
      return parseByteSize(text);
    } catch (cause) {
      const message = 'a storage limit is included, largest, or a whole number with B, KiB, MiB, GiB or TiB: 200GiB';
      throw new RangeError(message, { cause });
    }
  };
}

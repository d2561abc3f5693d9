/**
 * Environment of servers whose memory is measured: as people run them, without what a run of all tests has Node keep of their sources.
 * Source: Node.js documentation, "NODE_DISABLE_COMPILE_CACHE=1".
 */
export const asInstalled = { NODE_DISABLE_COMPILE_CACHE: '1' } as const;

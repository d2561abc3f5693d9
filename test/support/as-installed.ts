/**
 * Environment of servers whose memory is measured: as people run them, with a compile cache of their own in place of the one that a run of
 * all tests shares. Source: Node.js documentation, "NODE_COMPILE_CACHE=dir"; an empty one is none.
 */
export const asInstalled = { NODE_COMPILE_CACHE: '' } as const;

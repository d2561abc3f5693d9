import { dataFolderOf, useCompileCache } from './compile-cache.mjs';

// JavaScript, and before everything else: what takes the types out of a source costs 25 MiB, and no source is read anew once all are kept.
const dataFolder = dataFolderOf(process.argv.slice(2), process.env);
if (dataFolder !== undefined) useCompileCache(dataFolder);
await import('./main.ts');

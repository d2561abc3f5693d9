/** This process's environment for programs that tests start: its BERTH_ settings and test variables are not theirs. */
export function environmentOfPrograms(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('BERTH_')));
}

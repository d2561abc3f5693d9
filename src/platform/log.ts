import { pino, stdSerializers } from 'pino';
import { prettyFactory } from 'pino-pretty';
import type { LineSink } from './line-sink.ts';

export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];
export const logFormats = ['json', 'pretty'] as const;
export type LogFormat = (typeof logFormats)[number];

/** What belongs to one event: values beside the fixed text. `error` takes the error with its causes. No secret but as `Secret`. */
export type LogFields = Readonly<Record<string, unknown>>;

type Write = (message: string, fields?: LogFields) => void;

/** One JSON object a line. The message is a fixed text; what differs from event to event goes into the fields. */
export type Log = Readonly<Record<LogLevel, Write>> & {
  /** A log whose every line carries these fields too. */
  readonly with: (fields: LogFields) => Log;
};

export type LogOptions = { readonly sink: LineSink; readonly format: LogFormat; readonly level: LogLevel };

export function createLog({ sink, format, level }: LogOptions): Log {
  const pretty = prettyFactory({ colorize: true, ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss.l' });
  const destination = format === 'json' ? sink : { write: (line: string) => sink.write(pretty(line)) };
  const options = { level, serializers: { error: stdSerializers.errWithCause }, formatters: { level: levelName } };
  return wrap(pino({ ...options, base: null, timestamp: isoTime }, destination));
}

type PinoLogger = ReturnType<typeof pino>;

function wrap(logger: PinoLogger): Log {
  const writer =
    (level: LogLevel): Write =>
    (message, fields) =>
      logger[level](fields ?? {}, message);
  return {
    debug: writer('debug'),
    info: writer('info'),
    warn: writer('warn'),
    error: writer('error'),
    with: (fields) => wrap(logger.child(fields)),
  };
}

function levelName(level: string): { level: string } {
  return { level };
}

function isoTime(): string {
  return `,"time":"${new Date().toISOString()}"`;
}

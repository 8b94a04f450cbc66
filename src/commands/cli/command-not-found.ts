import type { Hook } from '@oclif/core';
import { unknownCommand } from './usage-errors.js';

/** oclif runs this when no command has the name that was typed. */
const hook: Hook.CommandNotFound = ({ id, config }) => Promise.reject(unknownCommand(id, config));
export default hook;

export { instructionSets } from '../../runtime/cpu.js';

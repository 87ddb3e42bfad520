import { Failure } from '../api/client'
import { t, type Word } from '../i18n'

// Failed shows a failure and the agent's own message.
export function Failed({ failure, again }: { failure: Failure; again?: () => void }) {
  return (
    <div class="failed" role="status">
      <p>{t(`state.${failure.kind}` as Word)}</p>
      {failure.detail && <p class="detail">{failure.detail}</p>}
      {again && <button onClick={again}>{t('state.retry')}</button>}
    </div>
  )
}

export const asFailure = (e: unknown): Failure => (e instanceof Failure ? e : new Failure('broken', ''))
